package signal

import "strings"

// family is the knowledge about providers that answer alike. Both functions read
// the same answer: hints collects what it says about when to come back, in the
// order in which this provider's fields are to be trusted; judge concludes what it
// means, and may look at the hints.
type family struct {
	name  string
	hints func(*answer)
	judge func(*answer) verdict
}

// familyOf returns the family of a provider id in lower case. An id nobody
// described is read by the general rules.
func familyOf(provider string) family {
	if f, ok := families[provider]; ok {
		return f
	}
	return general
}

// spoken is the family whose format an answer of no particular provider is in:
// chained proxies and compatible servers pass Google's errors on as they are.
func (a *answer) spoken(f family) family {
	switch a.provider {
	case "cliproxyapi", "anthropic-compat", "openai-compat":
	default:
		if f.name != general.name || families[a.provider].judge != nil {
			return f
		}
	}
	for e := a.problem.obj.get("details").first(); e.t != nil; e = e.next() {
		if strings.HasPrefix(e.get("@type").string(), "type.googleapis.com/google.rpc.") {
			return google
		}
	}
	return f
}

// families are the providers with rules of their own.
var families = map[string]family{
	"antigravity": google,
	"gemini-cli":  google,
	"gemini-api":  google,
	"gemini":      google,
	"vertex-ai":   google,

	"claude":           claude,
	"anthropic-api":    anthropic,
	"anthropic-compat": anthropic,
	"codex":            codex,

	"openai":        openai,
	"azure-openai":  openai,
	"groq":          groq,
	"github-models": githubModels,

	"github-copilot": copilot,
	"openrouter":     openrouter,
	"xai":            xai,
	"kimi":           kimi,
	"moonshot":       kimi,
	"qwen":           qwen,
	"zai-glm":        zai,
	"minimax":        minimax,
	"iflow":          iflow,
	"mistral":        mistral,
	"bedrock":        bedrock,
	"amazon-q":       amazonQ,
	"opencode-zen":   opencode,
	"cliproxyapi":    cliproxy,

	// Their answers need no rules of their own.
	"cerebras":      general,
	"deepseek":      general,
	"openai-compat": general,
}
