package main

import (
	"errors"
	"fmt"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
)

// acceptedLoss is what the log lacks, for the engine to record before anything else;
// nil: nothing.
func acceptedLoss(log *boltlog.Log) *events.LossAccepted {
	loss, ok := log.Loss()
	if !ok {
		return nil
	}
	return &events.LossAccepted{
		Log: loss.Expected.Log, Seq: loss.Expected.Seq, Hash: loss.Expected.Hash,
		From: loss.Actual.Seq, FromHash: loss.Actual.Hash,
	}
}

// adviseLoss names the flag in the refusal of a log that lacks records.
func adviseLoss(err error) error {
	if _, ok := errors.AsType[*boltlog.RollbackError](err); ok {
		return fmt.Errorf("%w: abeyance serve --accept-loss", err)
	}
	return err
}
