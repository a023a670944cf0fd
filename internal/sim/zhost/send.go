package zhost

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

const sendUsage = "\tsend [-DnPpRVvLecwhb] [-[i|I] snapshot] <snapshot>\n\tsend [-DnVvPLecw] [-i snapshot|bookmark] <filesystem|volume|snapshot>\n" +
	"\tsend [-DnPpVvLec] [-i bookmark|snapshot] --redact <bookmark> <snapshot>\n\tsend [-nVvPe] -t <receive_resume_token>\n\tsend [-PnVv] --saved filesystem\n"

// sending is one stream that is asked for.
type sending struct {
	to       *snapshot
	from     string // as given, "" for a full stream
	fromGUID uint64
	fromTxg  uint64
	token    *token
	flags    string
	props    bool
	holds    bool
}

// badToken is the exit code of zfs send when a token is no good.
const badToken = 255

func (c *call) send(o options, args []string) int {
	s := sending{props: o.has('p'), holds: o.has('h')}
	for _, f := range "Lecw" {
		if o.has(byte(f)) {
			if !c.host.has(sendSince[byte(f)]) {
				return c.misused(verbs()["send"], "invalid option '%c'", f)
			}
			s.flags += string(f)
		}
	}
	if o.has('t') {
		return c.sendToken(o, s)
	}
	switch {
	case o.has('R'):
		return c.fail("simulator: zfs send -R is not covered")
	case len(args) > 1:
		return c.misused(verbs()["send"], "too many arguments")
	case len(args) == 0:
		return c.misused(verbs()["send"], "missing snapshot argument")
	}
	name := args[0]
	s.to = c.host.findSnapshot(name)
	switch {
	case s.to == nil && !strings.Contains(name, "@") && c.host.find(name) != nil:
		return c.fail("warning: cannot send '%s': Invalid argument", name)
	case s.to == nil:
		return c.fail("cannot open '%s': dataset does not exist", name)
	}
	if base := o.last('i') + o.last('I'); base != "" {
		if code := c.base(&s, base, o.has('I')); code != 0 {
			return code
		}
	}
	return c.stream(o, s)
}

// base finds what an incremental stream begins at.
func (c *call) base(s *sending, base string, all bool) int {
	short := base
	if strings.HasPrefix(base, "@") || strings.HasPrefix(base, "#") {
		base = s.to.of.name + base
	} else if !strings.ContainsAny(base, "@#") {
		base = s.to.of.name + "@" + base
	}
	from, ok := c.host.object(base)
	if !ok || from.s == nil && from.b == nil {
		return c.fail("cannot open '%s': dataset does not exist", base)
	}
	s.from = from.name()
	if all {
		s.from = strings.TrimPrefix(short, "@")
	}
	if from.s != nil {
		s.fromGUID, s.fromTxg = from.s.guid, from.s.txg
	} else {
		s.fromGUID, s.fromTxg = from.b.guid, from.b.txg
	}
	if from.d != s.to.of && from.s != s.to.of.origin || s.fromTxg >= s.to.txg {
		return c.fail("warning: cannot send '%s': not an earlier snapshot from the same fs", s.to.full())
	}
	return 0
}

// sendToken goes on from where a receive was interrupted.
func (c *call) sendToken(o options, s sending) int {
	refuse := func(format string, args ...any) int {
		c.warn("cannot resume send: "+format, args...)
		return badToken
	}
	if !c.host.has("0.7") {
		return c.misused(verbs()["send"], "invalid option 't'")
	}
	t, err := readToken(o.last('t'))
	if err != nil {
		return refuse("%v", err)
	}
	if o.has('v') {
		out := c.stderr
		if o.has('n') {
			out = c.stdout
		}
		_, _ = io.WriteString(out, t.contents())
	}
	s.token, s.flags = &t, t.Flags
	s.to = c.host.findSnapshot(t.Name)
	if s.to == nil || s.to.guid != t.To {
		for _, other := range c.host.snapshotsOf(t.Name) {
			if other.guid == t.To {
				s.to = other // renamed in the meantime
			}
		}
	}
	switch {
	case s.to == nil:
		return refuse("'%s' used in the initial send no longer exists", t.Name)
	case s.to.guid != t.To:
		return refuse("'%s' is no longer the same snapshot used in the initial send", t.Name)
	}
	if t.From != 0 {
		for _, have := range s.to.of.snaps {
			if have.guid == t.From {
				s.from, s.fromGUID, s.fromTxg = have.full(), have.guid, have.txg
			}
		}
		for _, mark := range s.to.of.marks {
			if mark.guid == t.From && s.from == "" {
				s.from, s.fromGUID, s.fromTxg = s.to.of.name+"#"+mark.name, mark.guid, mark.txg
			}
		}
		if s.from == "" {
			return refuse("incremental source %#x no longer exists", t.From)
		}
	}
	return c.stream(o, s)
}

func (h *Host) snapshotsOf(full string) []*snapshot {
	base, _, _ := strings.Cut(full, "@")
	if d := h.find(base); d != nil {
		return d.snaps
	}
	return nil
}

// stream prints the sizes that are asked for and sends.
func (c *call) stream(o options, s sending) int {
	d := s.to.of
	if d.key != nil {
		raw := strings.Contains(s.flags, "w")
		switch {
		case !raw && s.props:
			c.warn("cannot send %s: encrypted dataset %s may not be sent with properties without the raw flag", s.to.full(), d.name)
			return c.fail("warning: cannot send '%s': backup failed", s.to.full())
		case !raw && !d.key.loaded:
			return c.fail("warning: cannot send '%s': dataset key must be loaded", s.to.full())
		}
	}
	out := c.stderr
	if o.has('n') {
		out = c.stdout
	}
	if o.has('v') || o.has('P') {
		_, _ = io.WriteString(out, s.sizes(o.has('P')))
	}
	if o.has('n') {
		return 0
	}
	head := s.begin()
	file, blocks, err := s.open()
	if err != nil {
		return c.fail("warning: cannot send '%s': %v", s.to.full(), err)
	}
	s.to.sending++
	c.host.mu.Unlock()
	defer func() {
		c.host.mu.Lock()
		s.to.sending--
	}()
	meter := &meter{w: c.stdout}
	stop := c.progress(o, s.to.full(), meter)
	err = s.write(meter, head, file, blocks)
	stop()
	if file != nil {
		_ = file.Close() // only read from
	}
	switch {
	case err == nil:
		return 0
	case c.ctx.Err() != nil:
		return c.fail("warning: cannot send '%s': signal received", s.to.full())
	case isPipe(err):
		return sigpipe
	default:
		return c.fail("warning: cannot send '%s': Invalid argument", s.to.full())
	}
}

func (s sending) open() (*os.File, []block, error) {
	if s.to.content == nil {
		return nil, nil, nil
	}
	file, err := os.Open(s.to.content.file)
	return file, slices.Clone(s.to.content.blocks), err
}

// begin is the head of the stream.
func (s sending) begin() begin {
	d := s.to.of
	b := begin{
		Name: s.to.full(), GUID: s.to.guid, From: s.fromGUID, Volsize: s.to.volsize, Blocksize: d.blocksize, Created: s.to.created.Unix(),
		Flags: s.features(), File: !d.volume,
	}
	if s.token != nil {
		b.Resume, b.Offset = true, s.token.Offset
	}
	if d.key != nil && strings.Contains(s.flags, "w") {
		b.Cipher, b.Format = d.key.cipher, d.key.format
	}
	if s.props {
		b.Props, b.SnapProps = map[string]string{}, map[string]string{}
		for name, value := range d.received {
			b.Props[name] = value
		}
		for name, value := range d.local {
			if name != "refreservation" {
				b.Props[name] = value
			}
		}
		for name, value := range s.to.local {
			b.SnapProps[name] = value
		}
	}
	if s.holds {
		for _, h := range s.to.holds {
			b.Holds = append(b.Holds, h.tag)
		}
	}
	return b
}

// sizes is what send -v and -P print ahead of the stream. It is an estimate.
func (s sending) sizes(parsable bool) string {
	n := s.estimate()
	kind, from := "full", ""
	if s.from != "" {
		kind, from = "incremental", s.from+"\t"
	}
	if parsable {
		return fmt.Sprintf("%s\t%s%s\t%d\nsize\t%d\n", kind, from, s.to.full(), n, n)
	}
	text := "full send of " + s.to.full()
	if s.from != "" {
		text = "send from " + s.from + " to " + s.to.full()
	}
	return fmt.Sprintf("%s estimated size is %s\ntotal estimated size is %s\n", text, human(n), human(n))
}

func (s sending) estimate() int64 {
	if s.to.content == nil {
		return 12808
	}
	var n, bytes int64
	for i, b := range s.to.content.blocks {
		if b.hole() || b.birth <= s.fromTxg || s.token != nil && int64(i)*s.to.of.blocksize < s.token.Offset {
			continue
		}
		n++
		if strings.ContainsAny(s.flags, "cw") {
			bytes += int64(b.psize)
		} else {
			bytes += s.to.of.blocksize
		}
	}
	return bytes + n*(recordSize-68) + 624
}

// write sends the blocks that were born after the base, in order.
func (s sending) write(w io.Writer, head begin, file *os.File, blocks []block) error {
	if err := head.write(w); err != nil {
		return err
	}
	size, first := head.Blocksize, 0
	if size > 0 {
		first = int(head.Offset / size)
	}
	buffer := make([]byte, size)
	for i := first; i < len(blocks); i++ {
		b := blocks[i]
		if b.birth <= s.fromTxg || b.hole() && s.fromGUID == 0 {
			continue
		}
		off := int64(i) * size
		if b.hole() {
			run := i + 1
			for run < len(blocks) && blocks[run].hole() && blocks[run].birth > s.fromTxg {
				run++
			}
			if err := (record{kind: recFree, off: off, n: int64(run-i) * size}).write(w); err != nil {
				return err
			}
			i = run - 1
			continue
		}
		part := buffer[:min(size, head.Volsize-off)]
		if _, err := file.ReadAt(part, off); err != nil {
			return err
		}
		if err := (record{kind: recWrite, off: off, n: int64(len(part)), payload: part}).write(w); err != nil {
			return err
		}
	}
	return record{kind: recEnd}.write(w)
}

// meter counts what passes.
type meter struct {
	w io.Writer
	n atomic.Int64
}

func (m *meter) Write(p []byte) (int, error) {
	n, err := m.w.Write(p)
	m.n.Add(int64(n))
	return n, err
}

// progress prints a line a second until it is stopped.
func (c *call) progress(o options, name string, m *meter) (stop func()) {
	if !o.has('v') {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		if !o.has('P') {
			c.warn("TIME        SENT   SNAPSHOT %s", name)
		}
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				now := c.host.now().Format("15:04:05")
				if o.has('P') {
					c.warn("%s\t%d\t%s", now, m.n.Load(), name)
				} else {
					c.warn("%s   %5s   %s", now, human(m.n.Load()), name)
				}
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// features are the flags that the stream shows: blocks of what is encrypted are never embedded.
func (s sending) features() string {
	if s.to.of.key != nil {
		return strings.ReplaceAll(s.flags, "e", "")
	}
	return s.flags
}
