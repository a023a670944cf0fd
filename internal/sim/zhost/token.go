package zhost

import (
	"bytes"
	"compress/zlib"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
)

// token is what a receive_resume_token says. It looks like a real one and is none.
type token struct {
	From   uint64 `json:"fromguid,omitempty"`
	Offset int64  `json:"offset"`
	Bytes  int64  `json:"bytes"`
	To     uint64 `json:"toguid"`
	Name   string `json:"toname"`
	Flags  string `json:"flags,omitempty"`
}

func (t token) text() string {
	plain, err := json.Marshal(t)
	if err != nil {
		panic("zhost: a token does not encode: " + err.Error())
	}
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	if _, err := z.Write(plain); err != nil {
		panic("zhost: a buffer refuses to be written: " + err.Error())
	}
	if err := z.Close(); err != nil {
		panic("zhost: a buffer refuses to be written: " + err.Error())
	}
	return fmt.Sprintf("1-%x-%x-%x", crc32.ChecksumIEEE(packed.Bytes()), len(plain), packed.Bytes())
}

// readToken reads a token, or says what zfs says about a bad one.
func readToken(text string) (token, error) {
	const corrupt = "resume token is corrupt (%s)"
	var t token
	parts := strings.Split(text, "-")
	if len(parts) != 4 || parts[0] != "1" {
		return t, fmt.Errorf(corrupt, "invalid format")
	}
	packed, err := hex.DecodeString(parts[3])
	if err != nil {
		return t, fmt.Errorf(corrupt, "invalid format")
	}
	if fmt.Sprintf("%x", crc32.ChecksumIEEE(packed)) != parts[1] {
		return t, fmt.Errorf(corrupt, "incorrect checksum")
	}
	z, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		return t, fmt.Errorf(corrupt, "decompression failed")
	}
	plain, err := io.ReadAll(io.LimitReader(z, 1<<16))
	if err != nil || json.Unmarshal(plain, &t) != nil {
		return t, fmt.Errorf(corrupt, "decompression failed")
	}
	return t, nil
}

// contents is what zfs send -nv -t prints first.
func (t token) contents() string {
	var b strings.Builder
	b.WriteString("resume token contents:\nnvlist version: 0\n")
	if t.From != 0 {
		fmt.Fprintf(&b, "\tfromguid = %#x\n", t.From)
	}
	fmt.Fprintf(&b, "\tobject = 0x1\n\toffset = %#x\n\tbytes = %#x\n\ttoguid = %#x\n\ttoname = %s\n", t.Offset, t.Bytes, t.To, t.Name)
	for flag, name := range map[string]string{"c": "compressok", "L": "largeblockok", "e": "embedok", "w": "rawok"} {
		if strings.Contains(t.Flags, flag) {
			fmt.Fprintf(&b, "\t%s = 1\n", name)
		}
	}
	return b.String()
}
