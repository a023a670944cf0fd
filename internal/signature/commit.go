package signature

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// commit is the part of a commit object that a signature is about.
type commit struct {
	payload   []byte // what was signed: the object without its signatures
	signature []byte // armored; empty for a commit without
	when      time.Time
}

// parse takes a commit object apart as git does (gitformat-signature): the headers gpgsig and gpgsig-sha256 with their
// continuation lines are the signatures, all else is signed. Whatever another reader may understand otherwise is refused.
func parse(object []byte) (commit, error) {
	headers, message, ok := bytes.Cut(object, []byte("\n\n"))
	if !ok {
		return commit{}, errors.New("is no commit that can be read: it has no end of its headers")
	}
	var c commit
	var payload bytes.Buffer
	count := map[string]int{}
	last := ""
	for line := range bytes.SplitSeq(headers, []byte("\n")) {
		name, value, _ := strings.Cut(string(line), " ")
		if more, ok := bytes.CutPrefix(line, []byte(" ")); ok {
			if last == "" {
				return commit{}, errors.New("is no commit that can be read: it begins with a blank")
			}
			name, value = last, string(more)
		} else {
			last = name
			count[name]++
		}
		switch name {
		case "gpgsig":
			c.signature = append(c.signature, value+"\n"...)
			continue
		case "gpgsig-sha256":
			continue
		case "committer":
			var err error
			if c.when, err = stamp(value); err != nil {
				return commit{}, err
			}
		}
		payload.Write(line)
		payload.WriteByte('\n')
	}
	for name, n := range map[string]int{"tree": 1, "author": 1, "committer": 1} {
		if count[name] != n {
			return commit{}, fmt.Errorf("is no commit that can be read: it has %d lines %s", count[name], name)
		}
	}
	if count["gpgsig"] > 1 {
		return commit{}, fmt.Errorf("has %d signatures, one is wanted", count["gpgsig"])
	}
	payload.WriteByte('\n')
	payload.Write(message)
	c.payload = payload.Bytes()
	return c, nil
}

// stamp reads the time of "Name <mail> 1767323045 +0000".
func stamp(person string) (time.Time, error) {
	fields := strings.Fields(person[strings.LastIndexByte(person, '>')+1:])
	if len(fields) == 2 {
		if seconds, err := strconv.ParseInt(fields[0], 10, 64); err == nil {
			return time.Unix(seconds, 0).UTC(), nil
		}
	}
	return time.Time{}, errors.New("is no commit that can be read: the time of its committer is missing")
}
