module github.com/abeyance/abeyance

go 1.26.0

require (
	github.com/vmihailenco/msgpack/v5 v5.4.1
	go.etcd.io/bbolt v1.5.0
)

require github.com/vmihailenco/tagparser/v2 v2.0.0 // indirect
