package zhost

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// recordSize is the length of a record's head, as in real streams, so that a stream is about as long as a real one.
const recordSize = 312

// kinds of records.
const (
	recBegin = iota + 1
	recObject
	recWrite
	recFree
	recEnd
)

// streamMagic begins a stream.
var streamMagic = [8]byte{'z', 'h', 'o', 's', 't', 's', 't', '1'}

// begin says what a stream is.
type begin struct {
	Name      string            `json:"name"` // full name of the snapshot
	GUID      uint64            `json:"guid"`
	From      uint64            `json:"from,omitempty"` // guid of the base
	Volsize   int64             `json:"volsize"`
	Blocksize int64             `json:"blocksize"`
	Created   int64             `json:"created"`
	Resume    bool              `json:"resume,omitempty"`
	Offset    int64             `json:"offset,omitempty"`
	Flags     string            `json:"flags,omitempty"` // L, e, c, w as given
	Raw       *key              `json:"-"`
	Cipher    string            `json:"cipher,omitempty"` // of a raw stream
	Format    string            `json:"format,omitempty"`
	Props     map[string]string `json:"props,omitempty"`
	SnapProps map[string]string `json:"snapProps,omitempty"`
	Holds     []string          `json:"holds,omitempty"`
	File      bool              `json:"file,omitempty"` // of a file system: nothing but its properties
}

type record struct {
	kind    uint32
	off, n  int64
	payload []byte
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (r record) write(w io.Writer) error {
	head := make([]byte, recordSize, recordSize+len(r.payload))
	copy(head, streamMagic[:])
	binary.LittleEndian.PutUint32(head[8:], r.kind)
	binary.LittleEndian.PutUint32(head[12:], uint32(len(r.payload)))
	binary.LittleEndian.PutUint64(head[16:], uint64(r.off))
	binary.LittleEndian.PutUint64(head[24:], uint64(r.n))
	sum := crc32.Update(crc32.Checksum(head[8:], castagnoli), castagnoli, r.payload)
	binary.LittleEndian.PutUint32(head[recordSize-4:], sum)
	_, err := w.Write(append(head, r.payload...))
	return err
}

var (
	errMagic    = errors.New("invalid stream (bad magic number)")
	errChecksum = errors.New("checksum mismatch")
)

// most bounds the payload of a record.
const most = 16 << 20

func readRecord(r io.Reader) (record, error) {
	head := make([]byte, recordSize)
	if n, err := io.ReadFull(r, head); err != nil {
		if n >= len(streamMagic) && !bytes.HasPrefix(head, streamMagic[:]) {
			return record{}, errMagic
		}
		return record{}, io.ErrUnexpectedEOF
	}
	if !bytes.HasPrefix(head, streamMagic[:]) {
		return record{}, errMagic
	}
	rec := record{
		kind: binary.LittleEndian.Uint32(head[8:]), off: int64(binary.LittleEndian.Uint64(head[16:])),
		n: int64(binary.LittleEndian.Uint64(head[24:])),
	}
	length := binary.LittleEndian.Uint32(head[12:])
	if length > most {
		return record{}, errChecksum
	}
	rec.payload = make([]byte, length)
	if _, err := io.ReadFull(r, rec.payload); err != nil {
		return record{}, io.ErrUnexpectedEOF
	}
	want := binary.LittleEndian.Uint32(head[recordSize-4:])
	clear(head[recordSize-4:])
	if crc32.Update(crc32.Checksum(head[8:], castagnoli), castagnoli, rec.payload) != want {
		return record{}, errChecksum
	}
	return rec, nil
}

func (b begin) write(w io.Writer) error {
	text, err := json.Marshal(b)
	if err != nil {
		return err
	}
	if err := (record{kind: recBegin, payload: text}).write(w); err != nil {
		return err
	}
	for i := range 7 {
		r := record{kind: recObject}
		if i == 6 {
			r.payload = make([]byte, 512)
		}
		if err := r.write(w); err != nil {
			return err
		}
	}
	return nil
}

func readBegin(r io.Reader) (begin, error) {
	rec, err := readRecord(r)
	if err != nil {
		return begin{}, err
	}
	var b begin
	if rec.kind != recBegin {
		return b, errMagic
	}
	if err := json.Unmarshal(rec.payload, &b); err != nil {
		return b, fmt.Errorf("%w: %w", errMagic, err)
	}
	return b, nil
}
