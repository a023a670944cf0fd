package strictyaml

import (
	"fmt"
	"strconv"
	"strings"
)

// The kinds of the tests: one of everything a manifest may be made of.

type header struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

type machine struct {
	header   `json:",inline"`
	Metadata struct {
		Name        string            `json:"name"`
		Annotations map[string]string `json:"annotations,omitempty"`
	} `json:"metadata"`
	Spec machineSpec `json:"spec"`
}

type machineSpec struct {
	*Placement
	Onboot      bool             `json:"onboot"`
	Protection  *bool            `json:"protection,omitempty"`
	CPU         cpu              `json:"cpu"`
	Memory      size             `json:"memory"`
	Balloon     *size            `json:"balloon,omitempty"`
	Disks       map[slot]disk    `json:"disks,omitempty"`
	Networks    map[string]*nic  `json:"networks,omitempty"`
	Tags        []string         `json:"tags,omitempty"`
	Boot        names            `json:"boot,omitempty"`
	Priority    int8             `json:"priority"`
	Weight      uint16           `json:"weight"`
	Share       float64          `json:"share"`
	Power       power            `json:"power,omitempty"`
	Rules       map[string]any   `json:"rules,omitempty"`
	Free        any              `json:"free,omitempty"`
	Agent       agent            `json:"agent"`
	USB         []map[string]int `json:"usb,omitempty"`
	Description string           `json:"description"`
	Hidden      string           `json:"-"`
}

type Placement struct {
	Node string `json:"node"`
	VMID int    `json:"vmid"`
}

type cpu struct {
	Type    string `json:"type"`
	Sockets int    `json:"sockets"`
	Cores   int    `json:"cores"`
}

type disk struct {
	Storage string `json:"storage"`
	Size    size   `json:"size"`
	Discard bool   `json:"discard"`
}

type nic struct {
	Model  string `json:"model"`
	Bridge string `json:"bridge"`
	MAC    string `json:"mac"`
}

// size is written 16384 (MiB) or 16Gi.
type size struct{ MiB int64 }

func (s *size) UnmarshalText(text []byte) error {
	digits, scale := string(text), int64(1)
	if d, ok := strings.CutSuffix(digits, "Gi"); ok {
		digits, scale = d, 1024
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 {
		return fmt.Errorf("not a size: %s", digits)
	}
	s.MiB = n * scale
	return nil
}

func (s size) MarshalText() ([]byte, error) { return strconv.AppendInt(nil, s.MiB, 10), nil }

// slot is a map key that checks itself.
type slot string

func (s *slot) UnmarshalText(text []byte) error {
	if !strings.HasPrefix(string(text), "scsi") {
		return hinted{"no such disk slot", `did you mean "scsi0"?`}
	}
	*s = slot(text)
	return nil
}

type hinted struct{ text, hint string }

func (h hinted) Error() string { return h.text }
func (h hinted) Hint() string  { return h.hint }

type power string

func (p *power) UnmarshalText(text []byte) error {
	values := []string{"Running", "Stopped", "Unmanaged"}
	for _, v := range values {
		if string(text) == v {
			*p = power(v)
			return nil
		}
	}
	near := Nearest(string(text), values)
	if near != "" {
		near = fmt.Sprintf("did you mean %s?", near)
	}
	return hinted{"no such power state: " + string(text), near}
}

// agent may be given as one word.
type agent struct {
	Enabled bool   `json:"enabled"`
	Type    string `json:"type,omitempty"`
}

func (a *agent) UnmarshalScalar(text string) error {
	switch text {
	case "on", "1":
		a.Enabled = true
		return nil
	case "off", "0":
		return nil
	}
	return hinted{"expected on or off, found " + strconv.Quote(text), ""}
}

// names may be given as one name.
type names []string

func (n *names) UnmarshalScalar(text string) error {
	*n = strings.Split(text, ";")
	return nil
}
