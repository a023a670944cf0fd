package main

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// click does what a person would do in the web page, on the guest's config: another bridge for a card, a CD drive.
func (s *stage) click(vmid int, card, drive string) error {
	form := url.Values{card: {"virtio,bridge=vmbr3"}, drive: {"none,media=cdrom"}}
	req, err := http.NewRequest(http.MethodPut, fmt.Sprintf("%s/api2/json/nodes/pve-5/qemu/%d/config", s.endpoint, vmid), strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "PVEAPIToken="+demoToken)
	res, err := s.client().Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the simulated host refused the click: %s", res.Status)
	}
	return nil
}

// client trusts the simulator's certificate, by its fingerprint, and nothing else.
func (s *stage) client() *http.Client {
	pinned := func(raw [][]byte, _ [][]*x509.Certificate) error {
		if sum := fmt.Sprintf("%X", sha256.Sum256(raw[0])); sum != strings.ToUpper(strings.ReplaceAll(s.fingerprint, ":", "")) {
			return errors.New("another certificate")
		}
		return nil
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, VerifyPeerCertificate: pinned}}}
}
