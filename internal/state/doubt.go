package state

import "time"

// Doubt is a change whose outcome has not been seen: a network that was reloaded, over which nobody has answered since.
type Doubt struct {
	Text  string    `json:"text"`
	Since time.Time `json:"since"`
}

// Doubt is what is in doubt about an object, if anything is.
func (l *Ledger) Doubt(key string) (Doubt, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d, ok := l.file.Doubts[key]
	return d, ok
}

// Fear records a doubt before the change is made, so that a program that dies with its network leaves word.
func (l *Ledger) Fear(key string, d Doubt) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file.Doubts == nil {
		l.file.Doubts = map[string]Doubt{}
	}
	l.file.Doubts[key] = d
	return l.save()
}

// Calm drops a doubt: somebody answered.
func (l *Ledger) Calm(key string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.file.Doubts[key]; !ok {
		return nil
	}
	delete(l.file.Doubts, key)
	return l.save()
}
