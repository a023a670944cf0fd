package state

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
)

// Reported tells whether the same text was the last one reported, and remembers it. A run with nothing new to say can so
// be silent, whatever its exit code. A memory that cannot be read or written reports too much, never too little.
func Reported(dir, text string) bool {
	sum := sha256.Sum256([]byte(text))
	now := hex.EncodeToString(sum[:])
	path := filepath.Join(dir, "reported")
	before, err := os.ReadFile(path)
	if err == nil && string(before) == now+"\n" {
		return true
	}
	_ = WriteFile(path, []byte(now+"\n"), 0o600)
	return false
}
