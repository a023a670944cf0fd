package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// locateEffort is how many bytes may be parsed again, for one file, to find where its syntax errors are.
const locateEffort = 4 << 20

// parse reads the chunk as one document. The root is nil when there is a problem.
func (c chunk) parse(effort *int) (*yaml.Node, *Problem) {
	text := c.text[:c.end()] // without the end marker, which an open quote would run into
	root, err := parse(text)
	if err == nil {
		return root, nil
	}
	f, message := locate(text, effort)
	offset, what, hint := f.reword(message)
	p := c.problem(offset, what, hint)
	return nil, &p
}

// parse wants exactly one document.
func parse(text []byte) (root *yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			root, err = nil, fmt.Errorf("the YAML parser gave up: %v", r)
		}
	}()
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document, more yaml.Node
	if err := decoder.Decode(&document); err != nil {
		return nil, err
	}
	if err := decoder.Decode(&more); err == nil {
		return nil, errors.New("did not find expected <document start>")
	} else if err != io.EOF {
		return nil, err
	}
	if len(document.Content) != 1 {
		return nil, errors.New("did not find expected node content")
	}
	return document.Content[0], nil
}

var messageLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

// locate finds where the parser notices a syntax error, and its message without the line.
//
// The parser names only a line, often that of the surrounding collection. But it reads from left to right: the shortest
// beginning of the text that fails with the same message, naming the same line, ends at the error.
func locate(text []byte, effort *int) (f fault, message string) {
	// With a line in front the parser never mistakes line 0 for "no line".
	text = append([]byte("\n"), text...)
	complain := func(end int) string {
		*effort -= end + 2000 // a parser costs about that before it reads a byte
		_, err := parse(text[:end])
		if err == nil {
			return ""
		}
		return err.Error()
	}
	want := complain(len(text))
	message = messageLine.ReplaceAllString(want, "")
	line, _ := strconv.Atoi(messageLine.FindStringSubmatch(want)[1])
	f = fault{text: text[1:], context: startOf(text[1:], line)}
	if *effort <= 0 {
		f.offset = startOf(text[1:], line-1)
		return f, message
	}
	same := func(end int) bool { return *effort <= 0 || complain(end) == want }

	var ends []int // of lines
	for i, b := range text {
		if b == '\n' || i == len(text)-1 {
			ends = append(ends, i+1)
		}
	}
	n := sort.Search(len(ends)-1, func(i int) bool { return same(ends[i]) })
	start, end := 0, ends[n]
	if n > 0 {
		start = ends[n-1]
	}
	if size := end - start; size*end < 1<<19 {
		// The last place from which on it fails: a line can also fail for a moment and recover ("a: b:c").
		for end > start+1 && same(end-1) {
			end--
		}
	} else {
		end = start + 1 + sort.Search(size-1, func(i int) bool { return same(start + 1 + i) })
	}
	f.offset = max(end-2, 0) // minus the line in front, minus one for "at" instead of "after"
	return f, message
}

// startOf is the offset of a line, the first being 1; the last line if there are fewer.
func startOf(text []byte, line int) int {
	offset := 0
	for range line - 1 {
		i := bytes.IndexByte(text[offset:], '\n')
		if i < 0 {
			break
		}
		offset += i + 1
	}
	return offset
}
