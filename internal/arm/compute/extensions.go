package compute

import (
	"context"
	"net/http"

	"berth.dev/berth/internal/arm"
)

// extensionRoutes show that nodes have no extensions, and refuse to give them any (G3).
func (p provider) extensionRoutes() []arm.Route {
	var routes []arm.Route
	for _, path := range []string{scaleSetPath + "/extensions", instancePath + "/extensions"} {
		const kind = "virtualMachineScaleSets/extensions"
		routes = append(routes,
			arm.Route{Method: http.MethodGet, Path: path, Type: kind, Handle: p.listExtensions},
			arm.Route{Method: http.MethodGet, Path: path + "/{extension}", Type: kind, Handle: p.noExtension},
			arm.Route{Method: http.MethodPut, Path: path + "/{extension}", Type: kind, Handle: p.refuseExtension},
			arm.Route{Method: http.MethodPatch, Path: path + "/{extension}", Type: kind, Handle: p.refuseExtension},
			arm.Route{Method: http.MethodDelete, Path: path + "/{extension}", Type: kind, Handle: p.refuseExtension},
		)
	}
	return routes
}

func (p provider) listExtensions(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	if _, err := p.require(ctx, r); err != nil {
		return nil, err
	}
	return arm.OK(arm.List{Value: []any{}})
}

func (p provider) noExtension(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	set, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	return nil, arm.ResourceNotFound(scaleSetType+"/extensions", set.name+"/"+r.Parameter("extension"), set.group.Spec.Name)
}

func (p provider) refuseExtension(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	set, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	return nil, arm.Errorf(http.StatusConflict, "OperationNotAllowed",
		"Operation is not allowed: the extensions of scale set '%s' are the service's and cannot be changed (support policy, G3). Use a DaemonSet to bring agents to nodes.", set.name)
}
