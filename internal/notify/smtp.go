package notify

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/smtp"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/internal/config"
	"github.com/ustclug/pve-reconcile/internal/notice"
)

// mailer sends a batch of messages as one mail.
func mailer(s config.SMTP, o Options) (func(context.Context, []entry, int) error, error) {
	t, err := trust(s.CAFile)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(s.Server)
	if err != nil {
		return nil, err
	}
	t.ServerName = host
	return func(ctx context.Context, all []entry, dropped int) error {
		text, err := letter(s, o, batch(all, dropped))
		if err == nil {
			err = submit(ctx, s, t, o, text)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.Server, err)
		}
		return nil
	}, nil
}

// submit hands a mail to the server, encrypted unless the config says that it is on this machine.
func submit(ctx context.Context, s config.SMTP, t *tls.Config, o Options, text []byte) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Server)
	if err != nil {
		return err
	}
	defer conn.Close()
	if until, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(until); err != nil {
			return err
		}
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if s.Security == "tls" {
		conn = tls.Client(conn, t)
	}
	c, err := smtp.NewClient(conn, t.ServerName)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Hello(greeting(o.Host)); err != nil {
		return err
	}
	if s.Security == "starttls" {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return errors.New("the server offers no STARTTLS: nothing was sent")
		}
		if err := c.StartTLS(t); err != nil {
			return err
		}
	}
	if s.Username != "" {
		password, err := o.Secret(s.PasswordFile)
		if err != nil {
			return err
		}
		if err := c.Auth(smtp.PlainAuth("", s.Username, password.Reveal(), t.ServerName)); err != nil {
			return errors.New("log in as " + s.Username + ": " + config.Redact(err.Error(), password))
		}
	}
	return hand(c, s, text)
}

func hand(c *smtp.Client, s config.SMTP, text []byte) error {
	if err := c.Mail(s.From); err != nil {
		return err
	}
	for _, to := range s.To {
		if err := c.Rcpt(to); err != nil {
			return fmt.Errorf("%s: %w", to, err)
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_ = c.Quit() // it has the mail
	return nil
}

// greeting is a name that may stand in HELO.
func greeting(host string) string {
	if host == "" || strings.ContainsAny(host, " \r\n") {
		return "localhost"
	}
	return host
}

// letter is a mail about a batch.
func letter(s config.SMTP, o Options, b notice.Batch) ([]byte, error) {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return nil, err
	}
	domain := s.From[strings.LastIndex(s.From, "@")+1:]
	var out bytes.Buffer
	for _, h := range [][2]string{
		{"From", s.From},
		{"To", strings.Join(s.To, ", ")},
		{"Subject", mime.QEncoding.Encode("utf-8", "[pve-reconcile] "+b.Subject())},
		{"Date", o.Now().Format(time.RFC1123Z)},
		{"Message-ID", "<" + hex.EncodeToString(id) + "@" + domain + ">"},
		{"Auto-Submitted", "auto-generated"},
		{"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=utf-8"},
		{"Content-Transfer-Encoding", "quoted-printable"},
	} {
		fmt.Fprintf(&out, "%s: %s\r\n", h[0], h[1])
	}
	out.WriteString("\r\n")
	q := quotedprintable.NewWriter(&out)
	for _, m := range b.Messages {
		fmt.Fprintf(q, "%s\r\n    %s\r\n", m.Text, m.Time.Local().Format("2006-01-02 15:04:05 -0700"))
		if m.Revision != "" {
			fmt.Fprintf(q, "    revision %.10s by %s\r\n", m.Revision, m.Author)
		}
	}
	if b.Dropped > 0 {
		fmt.Fprintf(q, "\r\n%d earlier messages could not be delivered in time and were given up.\r\n", b.Dropped)
	}
	fmt.Fprint(q, "\r\n`reconcile status` on "+o.Host+" shows how everything stands.\r\n")
	return out.Bytes(), q.Close()
}
