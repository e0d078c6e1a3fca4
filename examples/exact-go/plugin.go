// Exchange type x-exact: to every binding whose key is exactly the routing key.
//
// The functions of wit/exchange.wit by hand, in the form in which WebAssembly components pass
// values: a string or list is an address and a length; what a function returns lies in memory and
// is returned as an address. The broker copies arguments in with cabi_realloc. An address is an
// uint32 wherever it stands in memory: Go's own pointers are wider.
//
// time.Now and random numbers work, and are what an answer is not remembered for. Nothing can be
// waited for: no time.Sleep, no files, no network.
package main

import (
	"structs"
	"unsafe"
)

// What the broker has. Add those of wit/exchange.wit that you need.

//go:wasmimport warren:exchange/message@0.1.0 routing-key
func messageRoutingKey(key *text)

//go:wasmimport warren:exchange/host@0.1.0 log
func hostLog(level uint32, line *byte, length uint32)

//go:wasmimport wasi_snapshot_preview1 proc_exit
func exit(code uint32)

// A string as the broker has it.
type text struct {
	_          structs.HostLayout
	at, length uint32
}

func address[T any](pointer *T) uint32 { return uint32(uintptr(unsafe.Pointer(pointer))) }

func textOf(value string) text {
	return text{at: address(unsafe.StringData(value)), length: uint32(len(value))}
}

// The value, for as long as the call lasts.
func (value text) String() string {
	return unsafe.String((*byte)(unsafe.Add(unsafe.Pointer(nil), value.at)), value.length)
}

// What comes from the broker in one call: gone when the call is over.
var (
	scratch     [512 * 1024]byte
	scratchUsed uint32
)

//go:wasmexport cabi_realloc
func cabiRealloc(old *byte, oldSize, align, size uint32) unsafe.Pointer {
	at := (scratchUsed + align - 1) &^ (align - 1)
	scratchUsed = at + size
	place := scratch[at:scratchUsed]
	copy(place, unsafe.Slice(old, oldSize))
	return unsafe.Pointer(unsafe.SliceData(place))
}

// At the end of every call; the reason of a panic goes into the broker's log.
func over() {
	scratchUsed = 0
	why := recover()
	if why == nil {
		return
	}
	line := "panic"
	switch why := why.(type) {
	case error:
		line = why.Error()
	case string:
		line = why
	}
	hostLog(0, unsafe.StringData(line), uint32(len(line)))
	exit(1)
}

// Bindings live as long as the instance. The broker's own table is the truth: this is an index.
var bindings = map[uint32]string{}

var types = []text{textOf("x-exact")}

type description struct {
	_                             structs.HostLayout
	types, typeCount              uint32
	summary                       text
	arguments, argumentCount      uint32
	configuration, configuredKeys uint32
	wholeMessage                  bool
}

var described = description{
	types:     address(unsafe.SliceData(types)),
	typeCount: uint32(len(types)),
	summary:   textOf("Routes by exactly the key, in Go"),
}

//go:wasmexport warren:exchange/exchange-type@0.1.0#describe
func describe() *description { return &described }

// result<opened, string>: refused with a text, or where inner is 1 the inner type's name.
type opened struct {
	_       structs.HostLayout
	refused uint8
	inner   uint32
	name    text
}

var open opened

// A record of five strings is ten parameters.
//
//go:wasmexport warren:exchange/exchange-type@0.1.0#open
func openExchange(vhost *byte, vhostLength uint32, name *byte, nameLength uint32,
	kind *byte, kindLength uint32, arguments *byte, argumentsLength uint32,
	configuration *byte, configurationLength uint32) *opened {
	defer over()
	return &open
}

// result<_, string>
type done struct {
	_       structs.HostLayout
	refused uint8
	text    text
}

var bound done

//go:wasmexport warren:exchange/exchange-type@0.1.0#bind
func bind(slot uint32, key *byte, keyLength uint32, arguments *byte, argumentsLength uint32) *done {
	defer over()
	bindings[slot] = string(unsafe.Slice(key, keyLength))
	return &bound
}

//go:wasmexport warren:exchange/exchange-type@0.1.0#unbind
func unbind(slot uint32) { delete(bindings, slot) }

// Decisions depend on: 0 nothing, 1 the routing key, 2 headers (their names behind it), 3 anything.
type dependence struct {
	_                    structs.HostLayout
	kind                 uint8
	headers, headerCount uint32
}

var depends = dependence{kind: 1}

//go:wasmexport warren:exchange/exchange-type@0.1.0#inputs
func inputs() *dependence { return &depends }

// Decision: 0 to these slots, 1 hold until, 2 delegate, 3 reject with this text. What stands behind
// it is aligned like hold's uint64.
type answer struct {
	_                          structs.HostLayout
	kind                       uint64
	to                         text
	setHeaders, setHeaderCount uint32
}

var (
	slots   []uint32
	decided answer
	key     text
)

//go:wasmexport warren:exchange/exchange-type@0.1.0#route
func route() *answer {
	defer over()
	messageRoutingKey(&key)
	slots = slots[:0]
	for slot, bound := range bindings {
		if bound == key.String() {
			slots = append(slots, slot)
		}
	}
	decided.kind = 0
	decided.to = text{at: address(unsafe.SliceData(slots)), length: uint32(len(slots))}
	return &decided
}

//go:wasmexport warren:exchange/exchange-type@0.1.0#due
func due() *answer { return route() }

func main() {}
