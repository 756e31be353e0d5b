package arm

import (
	"net/http"
	"strings"
)

// metadataPath is where clients learn about this cloud. It needs no token.
const metadataPath = "/metadata/endpoints"

// metadata answers the document of the api-version asked for. There are three
// dialects: what `az cloud register` reads up to 2.45, the list of clouds, and
// what Terraform and newer clients read.
func (s *Server) metadata(w http.ResponseWriter, r *Request) {
	documents := map[string]func() any{
		"2015-01-01": s.metadata2015,
		"2018-05-01": s.metadata2015,
		"2019-05-01": func() any { return []any{s.metadata2019()} },
		"2020-06-01": func() any { return []any{s.metadata2019()} },
		"2022-09-01": s.metadata2022,
	}
	version := r.Query("api-version")
	document, known := documents[version]
	switch {
	case version == "":
		writeError(w, r, Errorf(http.StatusBadRequest, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests."))
	case !known:
		writeError(w, r, Errorf(http.StatusBadRequest, "InvalidApiVersionParameter",
			"The api-version '%s' is invalid. The supported versions are '2015-01-01,2018-05-01,2019-05-01,2020-06-01,2022-09-01'.", short(version)))
	default:
		writeJSON(w, r, http.StatusOK, document())
	}
}

// metadata2015 names the AD FS login: a login endpoint that ends in adfs keeps az
// 2.45 from asking Microsoft's instance discovery.
func (s *Server) metadata2015() any {
	return map[string]any{
		"galleryEndpoint": s.PublicURL + "/",
		"graphEndpoint":   s.PublicURL + "/",
		"portalEndpoint":  s.PublicURL + "/",
		"authentication": map[string]any{
			"loginEndpoint": s.PublicURL + "/adfs",
			"audiences":     []string{s.PublicURL + "/"},
		},
	}
}

func (s *Server) metadata2019() map[string]any {
	return map[string]any{
		"name":            "Berth",
		"portal":          s.PublicURL,
		"resourceManager": s.PublicURL + "/",
		"graph":           s.PublicURL + "/",
		"graphAudience":   s.PublicURL + "/",
		"gallery":         s.PublicURL + "/",
		"batch":           s.PublicURL + "/",
		"media":           s.PublicURL + "/",
		"authentication": map[string]any{
			"loginEndpoint":    s.PublicURL + "/adfs",
			"audiences":        []string{s.PublicURL + "/", s.PublicURL},
			"tenant":           "adfs",
			"identityProvider": "ADFS",
		},
		"suffixes": s.suffixes(),
	}
}

// metadata2022 names the Entra ID login: Terraform takes AD FS for Azure Stack
// and then builds a wrong token URL.
func (s *Server) metadata2022() any {
	document := s.metadata2019()
	document["authentication"] = map[string]any{
		"loginEndpoint":    s.PublicURL,
		"audiences":        []string{s.PublicURL + "/", s.PublicURL},
		"tenant":           "common",
		"identityProvider": "AAD",
	}
	document["microsoftGraphResourceId"] = s.PublicURL + "/"
	return document
}

func (s *Server) suffixes() map[string]string {
	_, host, _ := strings.Cut(s.PublicURL, "://")
	host, _, _ = strings.Cut(host, ":")
	return map[string]string{
		"storage": "storage." + host, "keyVaultDns": "vault." + host,
		"sqlServerHostname": "database." + host, "acrLoginServer": "registry." + host,
	}
}
