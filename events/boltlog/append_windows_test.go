package boltlog

import "errors"

func fillUp(*Log) error { return errors.New("there is no limit to set on Windows") }

func fillRest(*Log) error { return errors.New("there is no limit to set on Windows") }
