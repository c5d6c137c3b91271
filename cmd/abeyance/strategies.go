package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router"
)

// strategyConfig names strategies of package router.
type strategyConfig struct {
	Default   *string           `yaml:"default"`
	Providers map[string]string `yaml:"providers"`
}

// strategies returns those of the file, by canonical provider; what it does not say is
// the router's default.
func (f *configFile) strategies() router.Strategies {
	s := router.Strategies{Providers: map[string]router.Strategy{}}
	if f.Strategies == nil {
		return s
	}
	if f.Strategies.Default != nil {
		s.Default = router.Strategy(*f.Strategies.Default)
	}
	for provider, strategy := range f.Strategies.Providers {
		s.Providers[projection.CanonicalProvider(provider)] = router.Strategy(strategy)
	}
	return s
}

// checkStrategies finds names that are no strategy, and providers that are given
// twice under two names.
func (p *parsedConfig) checkStrategies(fail func(err error, path ...string)) {
	c := p.file.Strategies
	if c.Default != nil {
		fail(checkStrategy(*c.Default), "strategies", "default")
	}
	seen := map[string]string{}
	for _, provider := range slices.Sorted(maps.Keys(c.Providers)) {
		fail(checkStrategy(c.Providers[provider]), "strategies", "providers", provider)
		canonical := projection.CanonicalProvider(provider)
		if other, twice := seen[canonical]; twice {
			fail(fmt.Errorf("it is the same provider as %q", other), "strategies", "providers", provider)
		}
		seen[canonical] = provider
	}
}

func checkStrategy(name string) error {
	if !slices.Contains(router.AllStrategies(), router.Strategy(name)) {
		return fmt.Errorf("%q is none of %s", name, strings.Join(strategyNames(), ", "))
	}
	return nil
}

func strategyNames() (names []string) {
	for _, s := range router.AllStrategies() {
		names = append(names, string(s))
	}
	return names
}

// strategyRows lists the default strategy and those of providers that the file names.
func (s *settings) strategyRows() []effectiveRow {
	c := s.file.file.strategies()
	rows := []effectiveRow{{"strategies.default", string(cmp.Or(c.Default, router.RoundRobin)), s.file.origin("strategies", "default")}}
	if given := s.file.file.Strategies; given != nil {
		for _, provider := range slices.Sorted(maps.Keys(given.Providers)) {
			origin := s.file.origin("strategies", "providers", provider)
			rows = append(rows, effectiveRow{"strategies.providers." + provider, given.Providers[provider], origin})
		}
	}
	return rows
}
