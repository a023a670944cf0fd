package main

import (
	"testing"

	"github.com/ustclug/pve-reconcile/reconciler/step"
)

func TestWhy(t *testing.T) {
	for want, d := range map[string]step.Diff{
		"8 -> 4 (changed on the host)":                {Cause: step.Drift, Base: "4", Have: "8", Want: "4"},
		"unset -> 4 (changed on the host)":            {Cause: step.Drift, Base: "4", Want: "4"},
		"2 -> 4 (changed in git)":                     {Cause: step.Git, Base: "2", Have: "2", Want: "4"},
		"8 -> 4 (changed in git from 2)":              {Cause: step.Git, Base: "2", Have: "8", Want: "4"},
		"2 -> unset (gone from git)":                  {Cause: step.Git, Base: "2", Have: "2"},
		"2 -> 4 (new in the manifest)":                {Cause: step.New, Have: "2", Want: "4"},
		"two lines -> one line (changed on the host)": {Cause: step.Drift, Have: "two\nlines\n", Want: "one line"},
		"": {Cause: step.New, Want: "virtio,bridge=vmbr0"},
	} {
		if have := why(d); have != want {
			t.Errorf("%+v: want %q, have %q", d, want, have)
		}
	}
}
