package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/internal/config"
	"github.com/ustclug/pve-reconcile/internal/notice"
)

// sender is how a receiver is told.
func sender(c config.Notify, o Options) (func(context.Context, []entry, int) error, error) {
	switch {
	case c.Webhook != nil:
		return webhook(*c.Webhook, o)
	case c.SMTP != nil:
		return mailer(*c.SMTP, o)
	case c.CommitStatus != nil:
		return forge(*c.CommitStatus, o)
	}
	return nil, errors.New("has none of webhook, smtp and commitStatus")
}

// trust is the system's authorities and those of a file.
func trust(caFile string) (*tls.Config, error) {
	if caFile == "" {
		return &tls.Config{MinVersion: tls.VersionTLS12}, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("caFile: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("caFile: %s holds no PEM certificate", caFile)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}, nil
}

// client follows no redirect: a token is for the server that the config names.
func client(caFile string) (*http.Client, error) {
	t, err := trust(caFile)
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: t, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 1},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// refusal is an answer that is not 2xx.
type refusal struct {
	status string
	code   int
	text   string
}

func (r *refusal) Error() string {
	if r.text == "" {
		return "answers " + r.status
	}
	return "answers " + r.status + ": " + r.text
}

// post sends JSON. Its error shows no secret: neither the URL's path nor what was in the header.
func post(ctx context.Context, c *http.Client, to string, body []byte, header http.Header, secrets ...config.Secret) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return errors.New("the URL cannot be used")
	}
	q.Header = header
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("User-Agent", "pve-reconcile")
	res, err := c.Do(q)
	var broken *url.Error
	if errors.As(err, &broken) {
		err = broken.Err // without the URL
	}
	if err != nil {
		return fmt.Errorf("%s: %w", q.URL.Host, err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, 300))
	if res.StatusCode/100 == 2 {
		return nil
	}
	said := config.Redact(strings.Join(strings.Fields(strings.ToValidUTF8(string(text), "")), " "), secrets...)
	return fmt.Errorf("%s: %w", q.URL.Host, &refusal{res.Status, res.StatusCode, said})
}

// webhook posts batches of messages.
func webhook(w config.WebhookOut, o Options) (func(context.Context, []entry, int) error, error) {
	body, err := notice.ParseBody(w.Body)
	if err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	c, err := client(w.CAFile)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, all []entry, dropped int) error {
		text, err := body.Render(batch(all, dropped))
		if err != nil {
			return fmt.Errorf("body: %w", err)
		}
		to, header := config.Secret(w.URL), http.Header{}
		if w.URLFile != "" {
			if to, err = o.Secret(w.URLFile); err != nil {
				return err
			}
			if wrong := config.CheckURL(to.Reveal()); wrong != "" {
				return fmt.Errorf("%s: %s", w.URLFile, wrong)
			}
		}
		var token config.Secret
		if w.TokenFile != "" {
			if token, err = o.Secret(w.TokenFile); err != nil {
				return err
			}
			header.Set("Authorization", "Bearer "+token.Reveal())
		}
		return post(ctx, c, to.Reveal(), text, header, to, token)
	}, nil
}

func batch(all []entry, dropped int) notice.Batch {
	var messages []notice.Message
	for _, e := range all {
		if e.Message != nil {
			messages = append(messages, *e.Message)
		}
	}
	return notice.NewBatch(messages, dropped)
}

// described is what GitHub takes of a description.
const described = 140

// forge marks commits.
func forge(s config.CommitStatus, o Options) (func(context.Context, []entry, int) error, error) {
	c, err := client(s.CAFile)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, all []entry, _ int) error {
		for _, e := range all {
			if e.Standing == nil {
				continue
			}
			token, err := o.Secret(s.TokenFile)
			if err != nil {
				return err
			}
			to, header, body := statusRequest(s, *e.Standing, token)
			text, err := json.Marshal(body)
			if err != nil {
				return err
			}
			err = post(ctx, c, to, text, header, token)
			var r *refusal
			if s.Forge == "gitlab" && errors.As(err, &r) && r.code == http.StatusBadRequest && strings.Contains(r.text, "Cannot transition status") {
				err = nil // it says so already
			}
			if err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// statusRequest is how each forge is told the state of a commit.
func statusRequest(s config.CommitStatus, st notice.Standing, token config.Secret) (to string, header http.Header, body map[string]string) {
	base, header := strings.TrimSuffix(s.API, "/"), http.Header{}
	text := st.Text
	if r := []rune(text); len(r) > described {
		text = string(r[:described-1]) + "…"
	}
	if s.Forge == "gitlab" {
		header.Set("PRIVATE-TOKEN", token.Reveal())
		state := map[string]string{"pending": "pending", "success": "success", "failure": "failed"}[st.State]
		return base + "/projects/" + url.PathEscape(s.Repository) + "/statuses/" + st.Commit, header, map[string]string{"state": state, "description": text, "name": s.Context}
	}
	scheme := "token "
	if s.Forge == "github" {
		scheme = "Bearer "
		header.Set("Accept", "application/vnd.github+json")
	}
	header.Set("Authorization", scheme+token.Reveal())
	return base + "/repos/" + s.Repository + "/statuses/" + st.Commit, header, map[string]string{"state": st.State, "description": text, "context": s.Context}
}
