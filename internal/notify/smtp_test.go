package notify

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ustclug/pve-reconcile/internal/config"
	"github.com/ustclug/pve-reconcile/internal/notice"
)

// postOffice is a mail server for one mail at a time.
type postOffice struct {
	l         net.Listener
	tls       *tls.Config
	starttls  bool
	mails     chan string // "login from to...\n" and the mail
	cleartext bool        // something but EHLO and STARTTLS came unencrypted
}

func open(t *testing.T, starttls bool) (*postOffice, string) {
	t.Helper()
	s := httptest.NewTLSServer(nil) // for its certificate
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &postOffice{l: l, tls: &tls.Config{Certificates: s.TLS.Certificates, MinVersion: tls.VersionTLS12}, starttls: starttls, mails: make(chan string, 10)}
	s.Close()
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.talk(c)
		}
	}()
	return p, ca
}

func (p *postOffice) talk(c net.Conn) {
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	in := bufio.NewReader(c)
	say := func(text string) { fmt.Fprintf(c, "%s\r\n", text) }
	say("220 post.example")
	secure, got := false, ""
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		verb, rest, _ := strings.Cut(line, " ")
		if !secure && verb != "EHLO" && verb != "STARTTLS" && verb != "QUIT" {
			p.cleartext = true
		}
		switch verb {
		case "EHLO":
			say("250-post.example")
			if p.starttls && !secure {
				say("250-STARTTLS")
			}
			say("250 AUTH PLAIN")
		case "STARTTLS":
			say("220 go ahead")
			c = tls.Server(c, p.tls)
			in, secure = bufio.NewReader(c), true
		case "AUTH":
			login, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(rest, "PLAIN "))
			if string(login) != "\x00pve\x00correct-horse" {
				say("535 no: " + string(login))
				continue
			}
			got += "pve "
			say("235 welcome")
		case "MAIL", "RCPT":
			got += rest + " "
			say("250 ok")
		case "DATA":
			say("354 go on")
			got += "\n"
			for {
				line, err := in.ReadString('\n')
				if err != nil || line == ".\r\n" {
					break
				}
				got += strings.TrimPrefix(line, ".")
			}
			p.mails <- got
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("500 what?")
		}
	}
}

func postTo(t *testing.T, p *postOffice, ca string, secret config.Secret, all ...entry) error {
	t.Helper()
	s := config.SMTP{Server: p.l.Addr().String(), Security: "starttls", Username: "pve", PasswordFile: "/p", CAFile: ca, From: "pve@example.org", To: []string{"ann@example.org", "ben@example.org"}}
	send, err := mailer(s, Options{Host: "pve-5", Now: func() time.Time { return began }, Secret: func(string) (config.Secret, error) { return secret, nil }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return send(ctx, all, 2)
}

func TestMail(t *testing.T) {
	p, ca := open(t, true)
	news := []entry{
		{Message: &notice.Message{Time: began, Text: "VirtualMachine/wéb is Blocked\r\nBcc: evil@example.org", Revision: strings.Repeat("c", 40), Author: "Ann"}},
		{Message: &notice.Message{Time: began, Text: ".\nNode/pve-5 is Unknown"}},
	}
	if err := postTo(t, p, ca, "correct-horse", news...); err != nil {
		t.Fatal(err)
	}
	envelope, text, _ := strings.Cut(<-p.mails, "\n")
	if envelope != "pve FROM:<pve@example.org> TO:<ann@example.org> TO:<ben@example.org> " {
		t.Errorf("%q", envelope)
	}
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if m.Header.Get("Bcc") != "" || !strings.Contains(m.Header.Get("Subject"), "2_messages") || m.Header.Get("To") != "ann@example.org, ben@example.org" {
		t.Errorf("%v", m.Header)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	for _, want := range []string{"VirtualMachine/wéb is Blocked", "Node/pve-5 is Unknown", "revision cccccccccc by Ann", "2 earlier messages"} {
		if !strings.Contains(string(body), want) {
			t.Errorf("no %q in (%v)\n%s", want, err, body)
		}
	}
	if p.cleartext {
		t.Error("something was sent before STARTTLS")
	}
}

func TestMailIsRefusedUnencrypted(t *testing.T) {
	p, ca := open(t, false)
	err := postTo(t, p, ca, "correct-horse", entry{Message: &notice.Message{Text: "x"}})
	if err == nil || !strings.Contains(err.Error(), "offers no STARTTLS") || p.cleartext {
		t.Errorf("%v, sent in clear: %v", err, p.cleartext)
	}
}

func TestAWrongPasswordIsNotRepeated(t *testing.T) {
	p, ca := open(t, true)
	err := postTo(t, p, ca, "hunter2hunter2", entry{Message: &notice.Message{Text: "x"}})
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "log in as pve") {
		t.Errorf("%v", err)
	}
}
