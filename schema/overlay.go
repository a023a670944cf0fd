package schema

import "reflect"

// Overlay is what newer declares and, where it is silent, what older does. The union of applied revisions is the base of
// a three-way plan: what any of them gave may be taken away (law 3). A zero VM is neutral.
func Overlay(newer, older VM) VM {
	if newer.Kind == "" {
		return older
	}
	if older.Kind == "" {
		return newer
	}
	newer.Spec = overlay(reflect.ValueOf(newer.Spec), reflect.ValueOf(older.Spec)).Interface().(VMSpec)
	return newer
}

// overlay never changes its arguments: maps and pointers are made anew where both sides have one.
func overlay(newer, older reflect.Value) reflect.Value {
	out := reflect.New(newer.Type()).Elem()
	switch newer.Kind() {
	case reflect.Struct:
		if newer.Type() == reflect.TypeFor[Size]() {
			return newer
		}
		for i := range newer.NumField() {
			out.Field(i).Set(overlay(newer.Field(i), older.Field(i)))
		}
	case reflect.Pointer:
		switch {
		case newer.IsNil():
			return older
		case older.IsNil():
			return newer
		case newer.Type().Elem().Kind() != reflect.Struct:
			return newer // a false or a 0 that somebody wrote
		}
		out.Set(reflect.New(newer.Type().Elem()))
		out.Elem().Set(overlay(newer.Elem(), older.Elem()))
	case reflect.Map:
		if newer.Len() == 0 {
			return older
		}
		out.Set(reflect.MakeMap(newer.Type()))
		for _, k := range older.MapKeys() {
			out.SetMapIndex(k, older.MapIndex(k))
		}
		for _, k := range newer.MapKeys() {
			v := newer.MapIndex(k)
			if o := older.MapIndex(k); o.IsValid() {
				v = overlay(v, o)
			}
			out.SetMapIndex(k, v)
		}
	default:
		if newer.IsZero() {
			return older
		}
		return newer
	}
	return out
}
