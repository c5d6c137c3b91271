//go:build cgo

// Command abeyance-cliproxy is Abeyance as a plugin of CLIProxyAPI: a library that the
// host loads.
//
//	go build -buildmode=c-shared -o abeyance.so ./cmd/abeyance-cliproxy
//
// The host calls cliproxy_plugin_init with what it offers, and gets three functions in
// return: call, which takes a method and a JSON document and answers with another; free,
// for the memory of an answer; and shutdown. All that is done with them is in package
// internal/plugin; this program carries bytes over, and nothing else of Abeyance needs a
// C compiler.
package main

/*
#include <stdint.h>
#include <stdlib.h>

typedef struct {
	void*  ptr;
	size_t len;
} abeyance_buffer;

typedef struct {
	uint32_t abi_version;
	void*    host_ctx;
	int (*call)(void* host_ctx, const char* method, const uint8_t* request, size_t len, abeyance_buffer* response);
	void (*free_buffer)(void* ptr, size_t len);
} abeyance_host;

typedef struct {
	uint32_t abi_version;
	int (*call)(char* method, uint8_t* request, size_t len, abeyance_buffer* response);
	void (*free_buffer)(void* ptr, size_t len);
	void (*shutdown)(void);
} abeyance_plugin;

extern int abeyanceCall(char*, uint8_t*, size_t, abeyance_buffer*);
extern void abeyanceFree(void*, size_t);
extern void abeyanceShutdown(void);

static void abeyance_fill(abeyance_plugin* p) {
	p->call = abeyanceCall;
	p->free_buffer = abeyanceFree;
	p->shutdown = abeyanceShutdown;
}

static int abeyance_call_host(const abeyance_host* h, const char* method, const uint8_t* request, size_t len, abeyance_buffer* response) {
	if (h->call == NULL) return 1;
	return h->call(h->host_ctx, method, request, len, response);
}

static void abeyance_free_host(const abeyance_host* h, void* ptr, size_t len) {
	if (ptr != NULL && h->free_buffer != NULL) h->free_buffer(ptr, len);
}
*/
import "C"

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/abeyance/abeyance/cmd/abeyance-cliproxy/internal/plugin"
)

// abiVersion is that of the functions above.
const abiVersion = 1

// current is the plugin that the host has loaded. A library has one, whatever its
// functions are called from: they have no argument that could tell of another.
var current atomic.Pointer[loaded]

// loaded is a plugin and the host that it may call.
type loaded struct {
	*plugin.Plugin
	host *host
}

// main is never called: this is a library.
func main() {}

//export cliproxy_plugin_init
func cliproxy_plugin_init(h *C.abeyance_host, p *C.abeyance_plugin) (status C.int) {
	defer func() {
		if recover() != nil {
			status = 1
		}
	}()
	if p == nil || h != nil && h.abi_version != abiVersion {
		return 1
	}
	l := &loaded{host: &host{api: h}}
	l.Plugin = plugin.New(l.host, version())
	end(current.Swap(l)) // a host that did not shut it down has forgotten it
	p.abi_version = abiVersion
	C.abeyance_fill(p)
	return 0
}

// end closes a plugin, and cuts it off from its host: what the host gave it is gone when
// this returns.
func end(l *loaded) {
	if l != nil {
		l.Close()
		l.host.leave()
	}
}

//export abeyanceCall
func abeyanceCall(method *C.char, request *C.uint8_t, size C.size_t, response *C.abeyance_buffer) (status C.int) {
	defer func() {
		if recover() != nil { // unreachable: Plugin.Call does not panic
			status = 1
		}
	}()
	if response == nil {
		return 1
	}
	*response = C.abeyance_buffer{}
	l := current.Load()
	if l == nil || method == nil || size > math.MaxInt32 {
		return 1
	}
	var doc []byte
	if request != nil && size > 0 {
		doc = unsafe.Slice((*byte)(unsafe.Pointer(request)), int(size)) // the host's, until this returns
	}
	answer := l.Call(C.GoString(method), doc)
	response.ptr, response.len = C.CBytes(answer), C.size_t(len(answer))
	return 0
}

//export abeyanceFree
func abeyanceFree(ptr unsafe.Pointer, _ C.size_t) { C.free(ptr) }

//export abeyanceShutdown
func abeyanceShutdown() {
	defer func() { _ = recover() }() // unreachable: Close does not panic
	end(current.Swap(nil))
}

// host is the way back to the host while it lasts.
type host struct {
	mu  sync.RWMutex // read while the host is called
	api *C.abeyance_host
}

var errGone = errors.New("the host is gone")

// Call implements plugin.Host.
func (h *host) Call(method string, request []byte) ([]byte, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.api == nil {
		return nil, errGone
	}
	name := C.CString(method)
	defer C.free(unsafe.Pointer(name))
	doc := C.CBytes(request)
	defer C.free(doc)
	var response C.abeyance_buffer
	status := C.abeyance_call_host(h.api, name, (*C.uint8_t)(doc), C.size_t(len(request)), &response)
	defer C.abeyance_free_host(h.api, response.ptr, response.len)
	if status != 0 {
		return nil, fmt.Errorf("the host answered %s with status %d", method, int(status))
	}
	if response.ptr == nil || response.len > math.MaxInt32 {
		return nil, nil
	}
	return C.GoBytes(response.ptr, C.int(response.len)), nil
}

// leave waits for calls under way; no other follows.
func (h *host) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.api = nil
}
