package source

import (
	"bytes"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// checkPacks reads every pack of a clone and its index and compares them with the sums they end with. Reading objects
// does not find a damaged pack for sure: go-git asks the packs in no order, so when another one holds the same objects,
// which a fetch after the damage may bring, the damage shows in some reads and not in others.
func checkPacks(ctx context.Context, dir string) error {
	pattern := filepath.Join(dir, "objects", "pack", "pack-*")
	packs, err := filepath.Glob(pattern + ".pack")
	if err != nil {
		return err
	}
	indexes, err := filepath.Glob(pattern + ".idx")
	if err != nil {
		return err
	}
	for _, index := range indexes {
		if _, err := os.Stat(strings.TrimSuffix(index, ".idx") + ".pack"); err != nil {
			return fmt.Errorf("pack of %s: %w", filepath.Base(index), err)
		}
	}
	for _, pack := range packs {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := checkPack(pack); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(pack), err)
		}
	}
	return nil
}

var (
	errCut = errors.New("it is cut off")
	errSum = errors.New("content does not match its sum")
)

// checkPack compares a pack and its index with the sums that both end with.
func checkPack(pack string) error {
	sum, err := checkTrailer(pack)
	if err != nil {
		return err
	}
	index := strings.TrimSuffix(pack, ".pack") + ".idx"
	if _, err := checkTrailer(index); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(index), err)
	}
	has, err := tail(index, 2*sha1.Size) // the sum of the pack, then its own
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(index), err)
	}
	if !bytes.Equal(has[:sha1.Size], sum) {
		return fmt.Errorf("%s belongs to another pack", filepath.Base(index))
	}
	return nil
}

// checkTrailer compares a file with the SHA-1 of all before it, its last 20 bytes, and returns that.
func checkTrailer(name string) ([]byte, error) {
	want, err := tail(name, sha1.Size)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	h := sha1.New()
	if _, err := io.Copy(h, io.LimitReader(f, info.Size()-sha1.Size)); err != nil {
		return nil, err
	}
	if !bytes.Equal(h.Sum(nil), want) {
		return nil, errSum
	}
	return want, nil
}

func tail(name string, n int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() < n {
		return nil, errCut
	}
	b := make([]byte, n)
	_, err = f.ReadAt(b, info.Size()-n)
	return b, err
}
