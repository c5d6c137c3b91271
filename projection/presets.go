package projection

import "github.com/abeyance/abeyance/events"

// The names of the bootstrap sets.
const (
	PresetDefault  = "default"
	PresetTwoPools = "two-pools" // Antigravity's Gemini Pro and Flash as one pool, as since 2026
	PresetNone     = "none"
)

// Presets lists the bootstrap sets.
func Presets() []string { return []string{PresetDefault, PresetTwoPools, PresetNone} }

// preset returns a bootstrap set. The families are those providers were seen to
// share a quota over (providers.md section 3 of the project's research, November
// 2026). A group covers only windows that no other model shares: what is shared by
// a whole account, such as Claude's 5h and 7d windows, blocks "*" instead.
func preset(name string) []events.Group {
	if name == PresetNone {
		return nil
	}
	google := []string{"antigravity", "gemini-api", "gemini-cli"}
	groups := []events.Group{
		{ID: "claude", Label: "Claude and gpt-oss", Providers: google, Patterns: []string{"claude-*", "gpt-oss-*"}, Priority: 300},
		{
			ID: "claude-fable-weekly", Label: "Claude Fable, weekly", Providers: []string{"claude"},
			Patterns: []string{"claude-fable*", "claude-*-fable*"}, Priority: 120,
		},
		{
			ID: "claude-opus-weekly", Label: "Claude Opus, weekly", Providers: []string{"claude"},
			Patterns: []string{"claude-opus*", "claude-*-opus*"}, Priority: 110,
		},
		{
			ID: "claude-sonnet-weekly", Label: "Claude Sonnet, weekly", Providers: []string{"claude"},
			Patterns: []string{"claude-sonnet*", "claude-*-sonnet*"}, Priority: 100,
		},
		{
			ID: "codex-main", Label: "Codex", Providers: []string{"codex"},
			Patterns: []string{"gpt-*", "codex-*", "o3*", "o4*"}, Priority: 100,
		},
		{ID: "codex-spark", Label: "Codex Spark", Providers: []string{"codex"}, Patterns: []string{"*-spark*", "*bengalfox*"}, Priority: 200},
		{
			ID: "copilot-included", Label: "Copilot included models", Providers: []string{"github-copilot"},
			Patterns: []string{"gpt-4.1*", "gpt-4o*", "gpt-5-mini*"}, Priority: 200,
		},
		{
			ID: "copilot-premium", Label: "Copilot premium requests", Providers: []string{"github-copilot"},
			Patterns: []string{"claude-*", "gemini-*", "gpt-5*", "o3*", "o4*", "grok-*"}, Priority: 100,
		},
		{ID: "openrouter-free", Label: "OpenRouter free models", Providers: []string{"openrouter"}, Patterns: []string{"*:free"}, Priority: 100},
		{ID: "xai-grok", Label: "Grok", Providers: []string{"xai"}, Patterns: []string{"grok-*"}, Priority: 100},
	}
	if name == PresetTwoPools {
		groups = append(groups, events.Group{
			ID: "gemini", Label: "Gemini", Providers: google, Patterns: []string{"gemini-*"}, Priority: 200,
			Replaces: []string{"gemini-flash", "gemini-pro"},
		})
	} else {
		groups = append(groups,
			events.Group{
				ID: "gemini-flash", Label: "Gemini Flash", Providers: google,
				Patterns: []string{"gemini-flash*", "gemini-*-flash*"}, Priority: 100, Replaces: []string{"gemini"},
			},
			events.Group{
				ID: "gemini-pro", Label: "Gemini Pro", Providers: google,
				Patterns: []string{"gemini-pro*", "gemini-*-pro*"}, Priority: 200, Replaces: []string{"gemini"},
			})
	}
	for i := range groups {
		groups[i].Enabled = true
	}
	return groups
}
