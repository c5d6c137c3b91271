// Package plugin is Abeyance inside CLIProxyAPI, without the C in between: bytes in,
// bytes out. The program around it hands every call of the host to [Plugin.Call] and
// gives back what it answers.
//
// A call is the name of a method and a JSON document; the answer is
//
//	{"ok": true, "result": ...}
//	{"ok": false, "error": {"code", "message", "retryable", "http_status"}}
//
// Names of members are as the host has them: lower case with underscores in the
// envelope and at registration, Go's field names elsewhere.
//
//	plugin.register, plugin.reconfigure   the configuration: opens the log, or changes what it says
//	plugin.shutdown                       closes the log; a plugin may be registered again after it
//	scheduler.pick                        which of the candidates may serve; nobody, while nothing is blocked
//	usage.handle                          how a request went: a report, and durable soon after
//	management.register                   the routes below /v0/management and the page
//	management.handle                     one request to them
//
// A pick takes no lock and waits for nothing. Whatever else may take time, such as the
// log, the host's own log and learning of accounts, is done by goroutines of this
// package, behind queues with bounds; what does not fit is counted and told.
package plugin
