package blockcopy

import "errors"

// extent is a range of a device that may hold something other than zeros.
type extent struct{ from, to int64 }

// holes walks a device's map of holes from start to end. Not for more than one goroutine.
type holes struct {
	d     device
	blind bool // the device has no map: everything may be data
	ext   extent
}

// within is the data in [from, to), rounded out to whole pages. Calls must go forward.
func (h *holes) within(from, to int64) ([]extent, error) {
	if h.blind {
		return []extent{{from, to}}, nil
	}
	var found []extent
	for at := from; at < to; {
		if h.ext.to <= at {
			start, end, err := h.d.Next(at)
			if errors.Is(err, errUnsupported) {
				h.blind = true
				return []extent{{from, to}}, nil
			}
			if err != nil {
				return nil, err
			}
			size := h.d.Shape().Size
			h.ext = extent{start / page * page, min((end+page-1)/page*page, size)}
			if start >= size {
				h.ext = extent{size, size}
			}
		}
		if h.ext.from >= to || h.ext.from == h.ext.to {
			break
		}
		part := extent{max(at, h.ext.from), min(to, h.ext.to)}
		found = append(found, part)
		at = part.to
	}
	return found, nil
}

// clipped is what lies of extents, in order, in [from, to).
func clipped(data []extent, from, to int64) []extent {
	var inside []extent
	for _, d := range data {
		if part := (extent{max(d.from, from), min(d.to, to)}); part.from < part.to {
			inside = append(inside, part)
		}
	}
	return inside
}

// beyond is the start of the data that the last call of within did not reach.
func (h *holes) beyond() int64 { return h.ext.from }

// readsAsZeros says whether a device's map of holes proves that all of it reads as zeros.
func readsAsZeros(d device) bool {
	if !d.Shape().Punches {
		return false
	}
	start, _, err := d.Next(0)
	return err == nil && start >= d.Shape().Size
}
