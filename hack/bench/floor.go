package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// floor is the least any program must do to look at every guest once: one list call and one call a guest, 8 connections.
func (b *bench) floor() (time.Duration, int64, error) {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(b.server.CertPEM())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, MaxIdleConnsPerHost: 8, MaxConnsPerHost: 8}}
	defer client.CloseIdleConnections()
	var bytes atomic.Int64
	get := func(path string) error {
		req, err := http.NewRequest(http.MethodGet, b.endpoint+"/api2/json"+path, nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "PVEAPIToken="+token)
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		n, err := io.Copy(io.Discard, res.Body)
		bytes.Add(n)
		if err == nil && res.StatusCode != http.StatusOK {
			err = fmt.Errorf("floor: GET %s: %s", path, res.Status)
		}
		return err
	}
	began := time.Now()
	if err := get("/cluster/resources"); err != nil {
		return 0, 0, err
	}
	var g errgroup.Group
	g.SetLimit(8)
	for i := range b.guests {
		g.Go(func() error { return get(fmt.Sprintf("/nodes/pve-5/qemu/%d/pending", 1000+i)) })
	}
	err := g.Wait()
	return time.Since(began), bytes.Load(), err
}
