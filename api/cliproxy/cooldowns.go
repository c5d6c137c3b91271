package cliproxy

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// cooldownsVersion is the version of .cds files that is read.
const cooldownsVersion = 1

// record is one record of a .cds file.
type record struct {
	Provider       string     `json:"provider"`
	AuthID         string     `json:"auth_id"`
	Model          string     `json:"model"`
	Status         string     `json:"status"`
	NextRetryAfter string     `json:"next_retry_after"`
	Reason         string     `json:"reason"`
	Quota          quota      `json:"quota"`
	LastError      *lastError `json:"last_error"`
	UpdatedAt      string     `json:"updated_at"`
}

type quota struct {
	Exceeded      bool   `json:"exceeded"`
	Reason        string `json:"reason,omitempty"`
	NextRecoverAt string `json:"next_recover_at,omitempty"`
	BackoffLevel  int    `json:"backoff_level,omitempty"`
}

type lastError struct {
	Code       string `json:"code,omitempty"`
	Message    string `json:"message,omitempty"`
	Retryable  bool   `json:"retryable"`
	HTTPStatus int    `json:"http_status,omitempty"`
}

// cooldowns is a .cds file being read: member by member, and record by record, so that
// it takes little more memory than what is found.
type cooldowns struct {
	doc  []byte
	json *json.Decoder
	file *File
	seen map[string]bool
	// What the file says of its records, which may come after them.
	version          int
	authID, provider string
	updatedAt        string
}

func parseCooldowns(doc []byte) (*File, error) {
	x := &cooldowns{
		doc: doc, json: json.NewDecoder(bytes.NewReader(doc)), file: &File{Source: projection.SourceCooldowns}, seen: map[string]bool{},
	}
	x.json.DisallowUnknownFields()
	if _, err := x.json.Token(); err != nil { // the brace
		return nil, x.misread("", err)
	}
	for x.json.More() {
		if err := x.member(); err != nil {
			return nil, err
		}
	}
	if _, err := x.json.Token(); err != nil {
		return nil, x.misread("", err)
	}
	if _, err := x.json.Token(); !errors.Is(err, io.EOF) {
		return nil, x.wrong("text follows the JSON object, and a .cds file is one")
	}
	switch {
	case !x.seen["version"] || !x.seen["records"]:
		return nil, wrong(0, "this is no .cds file as CLIProxyAPI writes it, with a version and records, nor an export of Abeyance")
	case x.version != cooldownsVersion:
		return nil, wrong(0, "the .cds file has the version %d, and %d is the one that can be read", x.version, cooldownsVersion)
	}
	return x.file, x.complete()
}

// member reads one member of the file.
func (x *cooldowns) member() error {
	token, err := x.json.Token()
	if err != nil {
		return x.misread("", err)
	}
	name, ok := token.(string)
	if ok = ok && !x.seen[name]; !ok {
		return x.wrong("the member %q is given twice", keep(name))
	}
	x.seen[name] = true
	switch name {
	case "version":
		err = x.json.Decode(&x.version)
	case "auth_id":
		err = x.json.Decode(&x.authID)
	case "provider":
		err = x.json.Decode(&x.provider)
	case "updated_at":
		err = x.json.Decode(&x.updatedAt)
	case "records":
		return x.records()
	default:
		return x.wrong("the member %q is unknown: this is no .cds file as CLIProxyAPI writes it", keep(name))
	}
	if err != nil {
		return x.misread(name, err)
	}
	return nil
}

func (x *cooldowns) records() error {
	token, err := x.json.Token()
	if err != nil {
		return x.misread("records", err)
	}
	if token == nil {
		return nil // null: none
	}
	if token != json.Delim('[') {
		return x.wrong("records is no list")
	}
	for n := 0; x.json.More(); n++ {
		if n == projection.MaxImport {
			return tooMany(x.line())
		}
		var r record
		place := fmt.Sprintf("records[%d]", n)
		if err := x.json.Decode(&r); err != nil {
			return x.misread(place, err)
		}
		e, err := r.entry()
		if err != nil {
			return x.wrong("%s: %v", place, err)
		}
		x.file.Entries = append(x.file.Entries, Entry{place, e})
	}
	if _, err := x.json.Token(); err != nil {
		return x.misread("records", err)
	}
	return nil
}

// complete fills in what only the file as a whole says.
func (x *cooldowns) complete() error {
	at, err := parseTime(x.updatedAt)
	if err != nil {
		return wrong(0, "updated_at: %v", err)
	}
	for i := range x.file.Entries {
		e := &x.file.Entries[i]
		e.Account, e.Provider = cmp.Or(e.Account, x.authID), providerOf(cmp.Or(e.Provider, x.provider))
		if e.UpdatedAt.IsZero() {
			e.UpdatedAt = at
		}
	}
	return nil
}

// entry returns what a record says.
func (r *record) entry() (e projection.ImportEntry, err error) {
	if e.CoolUntil, err = parseTime(r.NextRetryAfter); err != nil {
		return e, fmt.Errorf("next_retry_after: %w", err)
	}
	if e.UpdatedAt, err = parseTime(r.UpdatedAt); err != nil {
		return e, fmt.Errorf("updated_at: %w", err)
	}
	e.Account, e.Provider, e.Model = strings.TrimSpace(r.AuthID), strings.TrimSpace(r.Provider), strings.TrimSpace(r.Model)
	e.Target = events.TargetAll
	if e.Model != "" {
		e.Target = events.ModelTarget + e.Model
	}
	e.Class, e.Original = r.class(), r.original()
	return e, nil
}

// class returns what an answer meant for which CLIProxyAPI cools. It puts every 429 down
// as a quota.
func (r *record) class() events.Class {
	if r.Quota.Exceeded {
		return events.ClassQuotaExhausted
	}
	if e := r.LastError; e != nil && e.HTTPStatus != 0 {
		return classOfStatus(e.HTTPStatus)
	}
	switch r.Reason {
	case "unauthorized", "invalid_grant":
		return events.ClassAuth
	case "payment_required":
		return events.ClassPayment
	case "transient upstream error":
		return events.ClassServerError
	default:
		return classOf(r.Reason)
	}
}

func classOfStatus(status int) events.Class {
	switch {
	case status == 401:
		return events.ClassAuth
	case status == 402:
		return events.ClassPayment
	case status == 403:
		return events.ClassForbidden
	case status == 404:
		return events.ClassNotFound
	case status == 408 || status >= 500:
		return events.ClassServerError
	default:
		return events.ClassQuotaExhausted
	}
}

// original returns the record's own fields.
func (r *record) original() string {
	type fields struct {
		Provider       string     `json:"provider,omitempty"`
		Model          string     `json:"model,omitempty"`
		Status         string     `json:"status,omitempty"`
		NextRetryAfter string     `json:"next_retry_after,omitempty"`
		Reason         string     `json:"reason,omitempty"`
		Quota          quota      `json:"quota"`
		LastError      *lastError `json:"last_error,omitempty"`
		UpdatedAt      string     `json:"updated_at,omitempty"`
	}
	f := fields{
		Provider: keep(r.Provider), Model: keep(r.Model), Status: keep(r.Status), NextRetryAfter: keep(r.NextRetryAfter),
		Reason: keepRaw(r.Reason), Quota: r.Quota, UpdatedAt: keep(r.UpdatedAt),
	}
	f.Quota.Reason, f.Quota.NextRecoverAt = keep(r.Quota.Reason), keep(r.Quota.NextRecoverAt)
	if e := r.LastError; e != nil {
		f.LastError = &lastError{Code: keep(e.Code), Message: keepRaw(e.Message), Retryable: e.Retryable, HTTPStatus: e.HTTPStatus}
	}
	return original(f)
}

// line returns the line that was read up to.
func (x *cooldowns) line() int {
	return 1 + bytes.Count(x.doc[:min(int(x.json.InputOffset()), len(x.doc))], []byte("\n"))
}

func (x *cooldowns) wrong(format string, args ...any) error { return wrong(x.line(), format, args...) }

// misread words an error of the decoder.
func (x *cooldowns) misread(place string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return x.wrong("the file ends too early")
	}
	message := strings.TrimPrefix(err.Error(), "json: ")
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		message = fmt.Sprintf("%s cannot be a JSON %s", cmp.Or(e.Field, "it"), e.Value)
	}
	if place != "" {
		message = place + ": " + message
	}
	return x.wrong("%s", message)
}
