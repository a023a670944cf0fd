package zhost

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

const receiveUsage = "\treceive [-vMnsFhu] [-o <property>=<value>] ... [-x <property>] ...\n\t    <filesystem|volume|snapshot>\n" +
	"\treceive [-vMnsFhu] [-o <property>=<value>] ... [-x <property>] ... \n\t    [-d | -e] <filesystem>\n\treceive -A <filesystem|volume>\n"

// partial is a receive that runs, or that was interrupted and can be continued.
type partial struct {
	to, from  uint64
	toName    string
	offset    int64 // the next byte that is wanted
	bytes     int64 // of stream received
	flags     string
	resumable bool // with -s
	running   bool
	into      *content
	base      uint64 // transaction group of the base
	volsize   int64
}

func (p *partial) token() string {
	return token{From: p.from, Offset: p.offset, Bytes: p.bytes, To: p.to, Name: p.toName, Flags: p.flags}.text()
}

// refusal is why a receive does not begin; code 0 says there is nothing to do.
type refusal struct {
	text string
	code int
}

func (r *refusal) Error() string { return r.text }

func refuse(format string, args ...any) *refusal {
	return &refusal{fmt.Sprintf(format, args...), 1}
}

func (c *call) receive(o options, args []string) int {
	if len(args) != 1 {
		return c.misused(verbs()["receive"], "missing snapshot argument")
	}
	if o.has('s') && !c.host.has("0.7") {
		return c.misused(verbs()["receive"], "invalid option 's'")
	}
	if o.has('A') {
		return c.abortReceive(args[0])
	}
	c.host.mu.Unlock()
	head, err := readBegin(c.stdin)
	c.host.mu.Lock()
	switch {
	case errors.Is(err, errMagic):
		return c.fail("cannot receive: %v", errMagic)
	case err != nil:
		return c.fail("cannot receive: failed to read from stream")
	}
	r := &receiving{call: c, o: o, head: head}
	r.dataset, r.snap, _ = strings.Cut(args[0], "@")
	if r.snap == "" {
		_, r.snap, _ = strings.Cut(head.Name, "@")
	}
	if err := r.options(); err != nil {
		return c.fail("%s", err.text)
	}
	return r.run()
}

// receiving is one receive that runs.
type receiving struct {
	*call
	o       options
	head    begin
	dataset string
	snap    string
	set     map[string]string // -o
	exclude map[string]bool   // -x
	d       *dataset
	part    *partial
}

func (r *receiving) title() string {
	switch {
	case r.head.Resume:
		return "cannot receive resume stream: "
	case r.head.From != 0:
		return "cannot receive incremental stream: "
	}
	return "cannot receive new filesystem stream: "
}

// options checks -o and -x.
func (r *receiving) options() *refusal {
	r.set, r.exclude = map[string]string{}, map[string]bool{}
	for _, opt := range r.o {
		if opt.name != 'o' && opt.name != 'x' {
			continue
		}
		name, value, _ := strings.Cut(opt.value, "=")
		n := nativeOf(name)
		if n == nil && !userName.MatchString(name) || n != nil && (n.name == "volblocksize" || n.name == "volsize" || !n.edit) {
			return refuse("cannot receive: invalid property '%s'", name)
		}
		if n != nil {
			name = n.name
			if opt.name == 'x' && !r.head.File && !strings.Contains(n.kinds, "v") {
				r.warn("Warning: %s: property '%s' does not apply to datasets of this type", r.dataset, name)
				continue
			}
			if !r.head.File && !strings.Contains(n.kinds, "v") {
				return refuse("%sproperty '%s' does not apply to datasets of this type", r.title(), name)
			}
		}
		if opt.name == 'x' {
			r.exclude[name] = true
			continue
		}
		if name == "refreservation" && value == "auto" {
			continue
		}
		value, err := setting(nil, name, value)
		if err != nil {
			return refuse("cannot receive: %v", err)
		}
		r.set[name] = value
	}
	return nil
}

func (r *receiving) run() int {
	kind := map[bool]string{true: "incremental", false: "full"}[r.head.From != 0]
	if r.o.has('v') && !r.o.has('n') {
		r.say("receiving %s stream of %s into %s@%s\n", kind, r.head.Name, r.dataset, r.snap)
	}
	if err := r.admit(); err != nil {
		if err.code == 0 {
			r.drain()
			if r.o.has('v') {
				r.say("%s\nreceived 0B stream in 1 seconds (0B/sec)\n", err.text)
			}
			return 0
		}
		return r.fail("%s", err.text)
	}
	if r.o.has('n') {
		if r.o.has('v') {
			r.say("would receive %s stream of %s into %s@%s\n", kind, r.head.Name, r.dataset, r.snap)
		}
		r.drain()
		return 0
	}
	if err := r.prepare(); err != nil {
		return r.fail("%s%v", r.title(), err)
	}
	start := time.Now()
	r.part.running = true
	r.host.devices.settle()
	r.host.mu.Unlock()
	counted := &counter{r: r.stdin}
	err := r.apply(counted)
	r.host.mu.Lock()
	r.part.running = false
	if err != nil {
		return r.interrupted(err)
	}
	if err := r.finish(); err != nil {
		return r.fail("%s%v", r.title(), err)
	}
	if r.o.has('v') {
		seconds := max(1, int64(time.Since(start).Seconds()))
		r.say("received %s stream in %d seconds (%s/sec)\n", human(counted.n), seconds, human(counted.n/seconds))
	}
	return 0
}

// drain reads the stream to its end, as zfs does when it has nothing to do with it.
func (r *receiving) drain() {
	r.host.mu.Unlock()
	defer r.host.mu.Lock()
	for {
		if rec, err := readRecord(r.stdin); err != nil || rec.kind == recEnd {
			return
		}
	}
}

// prepare makes the dataset, or the state next to it that an increment goes into.
func (r *receiving) prepare() error {
	if r.head.Resume {
		r.d = r.host.find(r.dataset)
		r.part = r.d.partial
		r.part.resumable = r.o.has('s')
		return nil
	}
	r.part = &partial{
		to: r.head.GUID, from: r.head.From, toName: r.head.Name, flags: r.head.Flags, resumable: r.o.has('s'), volsize: r.head.Volsize,
	}
	p := r.host.poolOf(r.dataset)
	r.d = p.sets[r.dataset]
	if r.head.From == 0 {
		if r.d != nil {
			r.d.remove() // admitted with -F
		}
		r.d = p.add(r.dataset, !r.head.File)
		r.d.inconsistent, r.d.blocksize = true, r.head.Blocksize
		if r.head.Cipher != "" {
			r.d.key = &key{root: r.d, cipher: r.head.Cipher, format: r.head.Format, location: "prompt"}
		}
	}
	r.d.partial = r.part
	r.properties()
	if r.head.File {
		return nil
	}
	var err error
	if r.head.From == 0 {
		r.part.into, err = newContent(p.newFile(), r.head.Volsize, r.head.Blocksize)
		r.d.live = r.part.into
		return err
	}
	base := r.d.last()
	r.part.base = base.txg
	r.part.into, err = base.content.copyTo(p.newFile())
	if err == nil && base.volsize != r.head.Volsize {
		err = r.part.into.resize(r.head.Volsize)
	}
	return err
}

// properties sets what the stream brings and what -o says, before the first byte arrives.
func (r *receiving) properties() {
	for name, value := range r.head.Props {
		r.d.received[name] = value
		if r.exclude[name] {
			r.d.excluded[name] = true
		}
	}
	for name, value := range r.set {
		r.d.local[name] = value
	}
}

// errSpace is what is told when nothing more fits.
var errSpace = errors.New("out of space")

// apply writes the records of the stream.
func (r *receiving) apply(in io.Reader) error {
	if r.head.File {
		for {
			if rec, err := readRecord(in); err != nil || rec.kind == recEnd {
				return err
			}
		}
	}
	file, err := os.OpenFile(r.part.into.file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	r.host.mu.Lock()
	left := r.d.available()
	compressed := r.d.native("compression") != "off"
	r.host.mu.Unlock()
	for {
		rec, err := readRecord(in)
		if err != nil {
			return err
		}
		switch rec.kind {
		case recEnd:
			return nil
		case recWrite, recFree:
			if rec.kind == recWrite {
				left -= r.d.pool.blockShown(int64(measure(rec.payload, compressed).psize))
			}
			if err := r.land(file, rec, left, compressed); err != nil {
				return err
			}
		}
	}
}

// land puts one record into the file and notes how far the stream has come.
func (r *receiving) land(file *os.File, rec record, left int64, compressed bool) error {
	c := r.part.into
	if rec.off < 0 || rec.off+rec.n > (c.size+c.blocksize-1)/c.blocksize*c.blocksize {
		return errChecksum
	}
	if rec.kind == recFree {
		if err := punch(file, rec.off, min(rec.n, c.size-rec.off)); err != nil {
			return err
		}
	} else if !compressed || !zero(rec.payload) {
		if _, err := file.WriteAt(rec.payload, rec.off); err != nil {
			return err
		}
	}
	r.host.mu.Lock()
	defer r.host.mu.Unlock()
	if left < 0 || r.d.pool.full {
		return errSpace
	}
	for off := rec.off; off < rec.off+rec.n; off += c.blocksize {
		b := block{}
		if rec.kind == recWrite {
			b = measure(rec.payload, compressed)
		}
		b.birth = r.d.pool.txg + 1
		c.blocks[off/c.blocksize] = b
	}
	r.part.offset, r.part.bytes = rec.off+rec.n, r.part.bytes+recordSize+int64(len(rec.payload))
	return nil
}
