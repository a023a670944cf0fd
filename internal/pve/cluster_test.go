package pve

import (
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ustclug/pve-reconcile/reconciler/step"
)

func TestOptions(t *testing.T) {
	good := Options{Name: "pve-5", Endpoint: "https://pve-5:8006", Token: token}
	for name, c := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"fine":            {func(*Options) {}, ""},
		"no port":         {func(o *Options) { o.Endpoint = "https://pve-5" }, ""},
		"host only":       {func(o *Options) { o.Endpoint = "pve-5" }, ""},
		"with path":       {func(o *Options) { o.Endpoint = "https://pve-5:8006/api2/json/" }, ""},
		"token and line":  {func(o *Options) { o.Token += "\n" }, ""},
		"http":            {func(o *Options) { o.Endpoint = "http://pve-5:8006" }, "only https"},
		"user":            {func(o *Options) { o.Endpoint = "https://me@pve-5" }, "write https://host:8006"},
		"odd path":        {func(o *Options) { o.Endpoint = "https://pve-5/x" }, "write https://host:8006"},
		"no endpoint":     {func(o *Options) { o.Endpoint = "" }, "write https://host:8006"},
		"no token":        {func(o *Options) { o.Token = "" }, "user@realm!name=secret"},
		"secret only":     {func(o *Options) { o.Token, o.TokenFrom = secret, "/etc/t" }, "the token in /etc/t is not"},
		"two lines":       {func(o *Options) { o.Token += "\nx" }, "user@realm!name=secret"},
		"odd fingerprint": {func(o *Options) { o.Fingerprint = "AA:BB" }, "pvenode cert info"},
		"odd CA":          {func(o *Options) { o.CA = []byte("x") }, "pve-root-ca.pem"},
		"both":            {func(o *Options) { o.CA, o.Fingerprint = []byte("x"), strings.Repeat("AB", 32) }, "keep one"},
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			c.change(&o)
			_, err := New(o)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), secret)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestCertificates(t *testing.T) {
	s := serve(t, map[string][]reply{"GET /nodes": {ok("[]")}})
	pin := s.options().Fingerprint
	for name, c := range map[string]struct {
		change func(*Options)
		want   []string // parts of the error; none: fine
	}{
		"pinned":              {func(*Options) {}, nil},
		"pinned, lower case":  {func(o *Options) { o.Fingerprint = strings.ToLower(strings.ReplaceAll(pin, ":", "")) }, nil},
		"pinned, another":     {func(o *Options) { o.Fingerprint = strings.Repeat("AB:", 31) + "AB" }, []string{"is " + pin + ", not AB:AB:", "pvenode cert info", "`fingerprint: " + pin + "`"}},
		"pinned by host name": {func(o *Options) { o.Endpoint = strings.Replace(s.URL, "127.0.0.1", "localhost", 1) }, nil},
		"CA":                  {func(o *Options) { o.Fingerprint, o.CA = "", s.pem() }, nil},
		"CA, another name": {func(o *Options) {
			o.Fingerprint, o.CA, o.Endpoint = "", s.pem(), strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
		}, []string{"localhost", pin}},
		"system roots": {func(o *Options) { o.Fingerprint = "" }, []string{"unknown authority", "`fingerprint: " + pin + "`", "pve-root-ca.pem"}},
	} {
		t.Run(name, func(t *testing.T) {
			n := len(s.requests())
			_, err := s.cluster(t, c.change).Get(t.Context(), "/nodes", nil)
			if c.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, step.ErrUnreachable) || len(s.requests()) != n {
				t.Errorf("error %v, %d requests", err, len(s.requests())-n)
			}
			for _, part := range c.want {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in: %v", part, err)
				}
			}
		})
	}
}

func (s *script) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func TestNotTLS(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	c := serve(t, nil).cluster(t, func(o *Options) { o.Endpoint = "https://" + strings.TrimPrefix(s.URL, "http://") })
	if _, err := c.Get(t.Context(), "/nodes", nil); !errors.Is(err, step.ErrUnreachable) || !strings.Contains(err.Error(), "gave HTTP response to HTTPS client") {
		t.Error(err)
	}
}
