package api

type metrics struct{}
