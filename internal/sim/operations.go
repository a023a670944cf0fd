package sim

// operations answer the calls, by "METHOD PATH" of the schema. What is missing here is answered from the world's
// Reads, or with 501.
var operations = map[string]operation{}

func on(call string, h operation) { operations[call] = h }
