package sim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"strconv"
	"strings"
)

func init() {
	const content = " /nodes/{node}/storage/{storage}/content"
	on("GET"+content, listContent)
	on("POST"+content, allocVolume)
	on("GET"+content+"/{volume}", readVolume)
	on("DELETE"+content+"/{volume}", deleteVolume)
	on("POST /nodes/{node}/storage/{storage}/upload", uploadFile)
}

func listContent(c *call) (any, error) {
	st, err := c.storage(c.str("storage"))
	if err != nil {
		return nil, err
	}
	rows := []any{}
	for _, v := range st.list() {
		name, err := st.parse(v.Name)
		if err != nil || c.has("vmid") && name.vmid != c.num("vmid") || c.has("content") && c.str("content") != v.Content {
			continue
		}
		if c.mayReadVolume(st.st.ID+":"+v.Name) != nil && v.Content != "iso" {
			continue
		}
		rows = append(rows, st.contentRow(v, name))
	}
	return rows, nil
}

func (s *store) contentRow(v *Volume, name *volumeName) map[string]any {
	row := map[string]any{"volid": s.st.ID + ":" + v.Name, "format": v.Format, "size": v.Size, "content": v.Content}
	if v.Content == "images" {
		row["vmid"] = name.vmid
		row["parent"] = nil
		if v.Parent != "" {
			row["parent"] = v.Parent
		}
	}
	switch s.st.Type {
	case "zfspool":
		row["name"] = name.file
	case "lvm", "lvmthin":
		row["ctime"] = strconv.FormatInt(v.Created.Unix(), 10)
		delete(row, "parent")
	default:
		row["ctime"] = v.Created.Unix()
		if v.Content == "images" {
			row["used"] = v.Used
		}
	}
	return row
}

// allocVolume makes a volume by name (FACTS §5); a size without a unit is KiB.
func allocVolume(c *call) (any, error) {
	st, err := c.storage(c.str("storage"))
	if err != nil {
		return nil, err
	}
	size := c.str("size")
	bytes, err := parseBytes(size)
	if err != nil {
		return nil, badParam("size", "value does not match the regex pattern")
	}
	if integerText.MatchString(size) {
		bytes <<= 10
	}
	file, format := c.str("filename"), c.str("format")
	if format == "" {
		format = "raw"
		for _, known := range []string{"raw", "qcow2", "vmdk"} {
			if strings.HasSuffix(file, "."+known) {
				format = known
			}
		}
	}
	if c.has("format") && st.isDir() && strings.Contains(file, ".") && !strings.HasSuffix(file, "."+format) {
		return nil, badParam("format", "different storage formats (%s != %s)", format, file[strings.LastIndex(file, ".")+1:])
	}
	name, err := st.alloc(&Task{}, c.num("vmid"), format, file, bytes>>10)
	if err != nil {
		return nil, err
	}
	return st.st.ID + ":" + name, nil
}

// pathVolume finds the volume that the path names, with or without the storage in front.
func (c *call) pathVolume() (*store, *volumeName, error) {
	volume := c.str("volume")
	storage := c.str("storage")
	if !strings.HasPrefix(volume, storage+":") {
		if m := volumeID.FindStringSubmatch(volume); m != nil && c.w.Storages.find(m[1]) != nil {
			return nil, nil, badParam("volume", "conflicting storage IDs")
		}
		volume = storage + ":" + volume
	}
	return c.volume(volume)
}

func readVolume(c *call) (any, error) {
	st, name, err := c.pathVolume()
	if err != nil {
		return nil, err
	}
	if err := c.mayReadVolume(st.st.ID + ":" + name.name); err != nil {
		return nil, err
	}
	v := st.find(name.name)
	if v == nil {
		if st.st.Type == "zfspool" {
			return nil, dief("zfs error: cannot open '%s/%s': dataset does not exist", st.st.values["pool"], name.file)
		}
		return nil, dief("volume_size_info on '%s:%s' failed - no format", st.st.ID, name.name)
	}
	row := map[string]any{"path": st.path(v.Name), "size": v.Size, "used": v.Used, "format": v.Format}
	if v.Parent != "" {
		row["parent"] = v.Parent
	}
	return row, nil
}

func deleteVolume(c *call) (any, error) {
	st, name, err := c.pathVolume()
	if err != nil {
		return nil, err
	}
	if err := c.check("/storage/"+st.st.ID, []string{"Datastore.Allocate"}, false); err != nil {
		return nil, err
	}
	id := st.st.ID
	if name.vmid != 0 {
		id = itoa(name.vmid) + "@" + id
	} else {
		id = "@" + id
	}
	upid, err := c.fork(job{kind: "imgdel", id: id, work: func(t *Task) error {
		if err := st.free(t, name.name); err != nil {
			return err
		}
		t.logf("Removed volume '%s:%s'", st.st.ID, name.name)
		return nil
	}})
	if err == nil && c.has("delay") && c.lastTask().Finished {
		return nil, c.lastTask().err()
	}
	return upid, err
}

// upload is the file of a multipart request.
type upload struct {
	name string
	data []byte
}

func (c *call) readUpload(raw []byte, boundary string) *reply {
	parts := multipart.NewReader(bytes.NewReader(raw), boundary)
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			rep := plainReply(400, "unable to parse multipart message")
			return &rep
		}
		data, err := io.ReadAll(part)
		if err != nil {
			rep := plainReply(400, "unable to parse multipart message")
			return &rep
		}
		if part.FileName() == "" {
			c.set(part.FormName(), strings.TrimRight(string(data), "\r\n"))
			continue
		}
		c.upload = &upload{name: part.FileName(), data: data}
		c.set("filename", part.FileName())
		c.set("tmpfilename", fmt.Sprintf("/var/tmp/pveupload-%016x%016x", c.s.uploadNumber(), c.s.uploadNumber()))
	}
}

func (s *Server) uploadNumber() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.random.Uint64()
}

func uploadFile(c *call) (any, error) {
	st, err := c.storage(c.str("storage"))
	if err != nil {
		return nil, err
	}
	kind, file, temp := c.str("content"), c.str("filename"), c.str("tmpfilename")
	if c.upload == nil {
		return nil, dief("missing temporary upload file")
	}
	if !st.st.has(kind) {
		return nil, badParam("storage", "storage '%s' is not configured for content-type '%s'", st.st.ID, kind)
	}
	name := kind + "/" + file
	ending := file[strings.LastIndex(file, ".")+1:]
	allowed := map[string][]string{"iso": {"iso", "img"}, "vztmpl": {"gz", "xz", "zst", "bz2"}, "import": {"ova", "ovf", "qcow2", "raw", "vmdk"}}
	if !contains(allowed[kind], strings.ToLower(ending)) {
		return nil, badParam("filename", "wrong file extension")
	}
	data := c.upload.data
	return c.fork(job{kind: "imgcopy", work: func(t *Task) error {
		t.logf("starting file import from: %s", temp)
		if kind == "import" && ending == "qcow2" && !bytes.HasPrefix(data, []byte("QFI\xfb")) {
			t.logf("command '/usr/bin/qemu-img info '--output=json' %s -f qcow2' failed: exit code 1", temp)
			return dief("qemu-img: Could not open '%s': Image is not in qcow2 format", temp)
		}
		path := st.path(name)
		t.logf("target node: %s", c.node.Name)
		t.logf("target file: %s", path)
		t.logf("file size is: %d", len(data))
		t.logf("command: cp -- %s %s", temp, path)
		if old := st.find(name); old == nil {
			st.add(&Volume{Name: name, Size: int64(len(data)), Used: int64(len(data)), Format: ending, Content: kind, Created: c.s.clock.Now()})
		} else {
			old.Size, old.Created = int64(len(data)), c.s.clock.Now()
		}
		t.logf("finished file import successfully")
		return nil
	}})
}
