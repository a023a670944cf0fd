package zfs

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// pace counts the bytes of a stream, holds them to a rate, and reports them.
type pace struct {
	ctx    context.Context
	rate   int64 // bytes a second; 0: none
	count  atomic.Int64
	first  Progress
	report func(Progress)
	began  time.Time
	stop   chan struct{}
	ended  sync.WaitGroup

	mu    sync.Mutex
	next  time.Time // when the next byte may pass
	lines meter
}

// reportEvery is how often progress is reported.
const reportEvery = time.Second

func newPace(ctx context.Context, rate int64, first Progress, report func(Progress)) *pace {
	p := &pace{ctx: ctx, rate: rate, first: first, report: report, began: time.Now(), stop: make(chan struct{})}
	p.ended.Go(func() {
		ticker := time.NewTicker(reportEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				p.tell(false)
			case <-p.stop:
				p.tell(true)
				return
			}
		}
	})
	return p
}

func (p *pace) end() {
	close(p.stop)
	p.ended.Wait()
}

func (p *pace) moved() int64 { return p.count.Load() }

func (p *pace) tell(final bool) {
	now := p.first
	now.Done += p.moved()
	now.Seconds = time.Since(p.began).Seconds()
	now.Rate = p.lines.rate(p.moved(), time.Now())
	if now.Total > 0 {
		now.Total = max(now.Total, now.Done) // the estimate may be short
		if now.Rate > 0 {
			now.ETA = time.Duration(float64(now.Total-now.Done) / float64(now.Rate) * float64(time.Second))
		}
	}
	now.Final = final
	p.report(now)
}

// writer passes a stream on.
func (p *pace) writer(to io.Writer) io.Writer { return paced{p, to} }

type paced struct {
	pace *pace
	to   io.Writer
}

func (w paced) Write(b []byte) (n int, err error) {
	for len(b) > 0 && err == nil {
		part := b
		if w.pace.rate > 0 { // a tenth of a second at a time, so that no burst fills the line
			part = b[:min(int64(len(b)), max(w.pace.rate/10, 4096))]
			if err := w.pace.wait(len(part)); err != nil {
				return n, err
			}
		}
		var m int
		m, err = w.to.Write(part)
		w.pace.count.Add(int64(m))
		n, b = n+m, b[m:]
	}
	return n, err
}

// wait returns when so many bytes may pass. An idle second is not saved up: a line that others share feels the burst.
func (p *pace) wait(n int) error {
	p.mu.Lock()
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	turn := p.next
	p.next = p.next.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
	p.mu.Unlock()
	timer := time.NewTimer(turn.Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
}

// meter smooths a rate over the last few reports.
type meter struct {
	at      time.Time
	count   int64
	smooth  float64
	started bool
}

func (m *meter) rate(count int64, now time.Time) int64 {
	seconds := now.Sub(m.at).Seconds()
	if m.started && seconds > 0 {
		latest := float64(count-m.count) / seconds
		if m.smooth == 0 {
			m.smooth = latest
		}
		m.smooth += 0.3 * (latest - m.smooth)
	}
	m.at, m.count, m.started = now, count, true
	return int64(m.smooth)
}
