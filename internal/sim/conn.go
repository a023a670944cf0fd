package sim

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

func (s *Server) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return // closed
		}
		go s.loop(conn, bufio.NewReader(conn))
	}
}

// loop serves one connection until either side ends it.
func (s *Server) loop(conn net.Conn, in *bufio.Reader) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		_ = conn.Close() // nobody is left to tell
		return
	}
	s.conns[conn] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
		_ = conn.Close() // the peer may have closed it before
	}()
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		if strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
			if _, err := conn.Write([]byte("HTTP/1.1 100 Continue\r\n\r\n")); err != nil {
				return
			}
		}
		if !s.write(conn, r, s.answer(r)) {
			return
		}
	}
}

// write sends an answer and tells whether the connection may go on.
func (s *Server) write(conn net.Conn, r *http.Request, rep reply) bool {
	if rep.drop {
		return false
	}
	keep := !r.Close && r.ProtoAtLeast(1, 1)
	var b bytes.Buffer
	b.Grow(len(rep.body) + 320)
	b.WriteString("HTTP/1.1 ")
	b.WriteString(strconv.Itoa(rep.status))
	b.WriteString(" ")
	b.WriteString(rep.reason)
	b.WriteString("\r\nCache-Control: max-age=0\r\nConnection: ")
	if keep {
		b.WriteString("Keep-Alive")
	} else {
		b.WriteString("close")
	}
	b.WriteString("\r\nDate: ")
	b.WriteString(time.Now().UTC().Format(http.TimeFormat))
	b.WriteString("\r\nPragma: no-cache\r\nServer: pve-api-daemon/3.0\r\nContent-Length: ")
	b.WriteString(strconv.Itoa(len(rep.body)))
	if kind := rep.contentType(); kind != "" {
		b.WriteString("\r\nContent-Type: " + kind)
	}
	b.WriteString("\r\n\r\n")
	if r.Method != http.MethodHead {
		b.Write(rep.body)
	}
	_, err := conn.Write(b.Bytes())
	return err == nil && keep
}

func (r reply) contentType() string {
	switch {
	case !r.plain:
		return "application/json;charset=UTF-8"
	case len(r.body) > 0:
		return "text/plain"
	}
	return ""
}

// certificate is a self-signed one for loopback.
type certificate struct {
	pair tls.Certificate
	pem  []byte
	sum  string
}

func (s *Server) certificate() (*certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cert != nil {
		return s.cert, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	name := s.w.local().Name
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name, Organization: []string{"PVE simulator"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(2, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA: true, BasicConstraintsValid: true,
		DNSNames: []string{"localhost", name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	sum := sha256.Sum256(der)
	var hex []string
	for _, b := range sum {
		hex = append(hex, fmt.Sprintf("%02X", b))
	}
	s.cert = &certificate{
		pair: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		pem:  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		sum:  strings.Join(hex, ":"),
	}
	return s.cert, nil
}

// CertPEM is the certificate that Listen shows, or nil if none could be made.
func (s *Server) CertPEM() []byte {
	c, err := s.certificate()
	if err != nil {
		return nil
	}
	return c.pem
}

// Fingerprint is the SHA-256 of the certificate as PVE shows it ("AB:CD:..."), or "" if none could be made.
func (s *Server) Fingerprint() string {
	c, err := s.certificate()
	if err != nil {
		return ""
	}
	return c.sum
}
