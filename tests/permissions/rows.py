"""Who gets which answer: one row for each method of each route, one column for each caller of `world.CALLERS`.

```text
anonymous  no token                                    read      tokens of the owner that were narrowed to one scope
void       an expired, and a revoked token             deploy
stranger   somebody with an account                    consume
partner    a partner of the organization               storage
member     a member                                    admin
manager    a manager                                   bound     a full token of the owner, bound to the project that is asked for
owner      the owner                                   elsewhere the same, bound to another project
raised     a partner who was made manager of the one project
operator   an operator who is in no organization
```

A refusal tells what the caller may know: 401 who are you, 404 you do not see it, 403 you see it and may not. 409 in the row of
`organization` DELETE: allowed, but it holds a project.
"""

# fmt: off
ROWS: dict[tuple[str, str], str] = {
    #                           anonymous void stranger partner member manager owner raised operator | read deploy consume storage admin bound elsewhere
    ("audit", "GET"): "401 401 200 200 200 200 200 200 200 403 403 403 403 200 200 200",
    ("audit-export", "GET"): "401 401 200 200 200 200 200 200 200 403 403 403 403 200 200 200",
    ("deployment", "GET"): "401 401 404 404 200 200 200 200 404 200 200 403 403 200 200 404",
    ("deployment", "PUT"): "401 401 404 404 403 200 200 200 404 403 200 403 403 403 200 404",
    ("deployment", "DELETE"): "401 401 404 404 403 204 204 204 404 403 204 403 403 403 204 404",
    ("deployment-logs", "GET"): "401 401 404 404 200 200 200 200 404 200 200 403 403 200 200 404",
    ("deployment-usage", "GET"): "401 401 404 404 200 200 200 200 404 200 200 403 403 200 200 404",
    ("endpoint-token", "GET"): "401 401 404 404 200 200 200 200 404 403 403 200 200 403 200 404",
    ("me", "GET"): "401 401 200 200 200 200 200 200 200 200 200 403 403 200 200 200",
    ("namespace", "GET"): "401 401 404 404 200 200 200 404 404 200 200 403 403 200 404 404",
    ("namespace", "PUT"): "401 401 404 404 403 200 200 404 404 403 403 403 403 200 404 404",
    ("namespace", "DELETE"): "401 401 404 404 403 204 204 404 404 403 403 403 403 204 404 404",
    ("namespace-member", "GET"): "401 401 404 404 200 200 200 404 404 200 200 403 403 200 404 404",
    ("namespace-member", "PUT"): "401 401 404 404 403 403 200 404 404 403 403 403 403 200 404 404",
    ("namespace-member", "DELETE"): "401 401 404 404 403 403 204 404 404 403 403 403 403 204 404 404",
    ("namespace-members", "GET"): "401 401 404 404 200 200 200 404 404 200 200 403 403 200 404 404",
    ("namespace-members", "POST"): "401 401 404 404 403 403 200 404 404 403 403 403 403 200 404 404",
    ("namespace-namespaces", "GET"): "401 401 404 404 200 200 200 404 404 200 200 403 403 200 404 404",
    ("namespace-namespaces", "POST"): "401 401 404 404 403 201 201 404 404 403 403 403 403 201 404 404",
    ("namespace-projects", "GET"): "401 401 404 404 200 200 200 404 404 200 200 403 403 200 404 404",
    ("namespace-projects", "POST"): "401 401 404 404 403 201 201 404 404 403 403 403 403 201 404 404",
    ("namespaces", "GET"): "401 401 200 200 200 200 200 200 200 200 200 403 403 200 200 200",
    ("offers", "GET"): "401 401 200 200 200 200 200 200 200 200 200 403 403 200 200 200",
    ("organization", "GET"): "401 401 404 200 200 200 200 200 404 200 200 403 403 200 404 404",
    ("organization", "PUT"): "401 401 404 403 403 403 200 403 404 403 403 403 403 200 404 404",
    ("organization", "DELETE"): "401 401 404 403 403 403 409 403 404 403 403 403 403 409 404 404",
    ("organization-member", "GET"): "401 401 404 404 200 200 200 404 404 200 200 403 403 200 404 404",
    ("organization-member", "PUT"): "401 401 404 403 403 403 200 403 404 403 403 403 403 200 404 404",
    ("organization-member", "DELETE"): "401 401 404 403 403 403 204 403 404 403 403 403 403 204 404 404",
    ("organization-members", "GET"): "401 401 404 200 200 200 200 200 404 200 200 403 403 200 404 404",
    ("organization-members", "POST"): "401 401 404 403 403 403 200 403 404 403 403 403 403 200 404 404",
    ("organizations", "GET"): "401 401 200 200 200 200 200 200 200 200 200 403 403 200 200 200",
    ("organizations", "POST"): "401 401 201 201 201 201 201 201 201 403 403 403 403 201 403 403",
    ("project", "GET"): "401 401 404 404 200 200 200 200 404 200 200 403 403 200 200 404",
    ("project", "PUT"): "401 401 404 404 403 200 200 200 404 403 403 403 403 200 200 404",
    ("project", "DELETE"): "401 401 404 404 403 204 204 204 404 403 403 403 403 204 404 404",
    ("project-member", "GET"): "401 401 404 404 200 200 200 200 404 200 200 403 403 200 200 404",
    ("project-member", "PUT"): "401 401 404 404 403 403 200 403 404 403 403 403 403 200 200 404",
    ("project-member", "DELETE"): "401 401 404 404 403 403 204 403 404 403 403 403 403 204 204 404",
    ("project-members", "GET"): "401 401 404 404 200 200 200 200 404 200 200 403 403 200 200 404",
    ("project-members", "POST"): "401 401 404 404 403 403 200 403 404 403 403 403 403 200 200 404",
    ("project-token", "GET"): "401 401 404 404 200 200 200 200 404 403 403 200 200 403 200 404",
    ("project-workflows", "GET"): "401 401 404 404 200 200 200 200 404 200 200 403 403 200 200 404",
    ("project-workflows", "POST"): "401 401 404 404 403 201 201 201 404 403 201 403 403 403 201 404",
    ("projects", "GET"): "401 401 200 200 200 200 200 200 200 200 200 403 403 200 200 200",
    ("roles", "GET"): "401 401 200 200 200 200 200 200 200 200 200 403 403 200 200 200",
    ("schema", "GET"): "200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200",
    ("signup", "POST"): "201 201 201 201 201 201 201 201 201 201 201 201 201 201 201 201",
    ("token", "DELETE"): "401 401 204 204 204 204 204 204 204 403 403 403 403 204 204 204",
    ("tokens", "GET"): "401 401 200 200 200 200 200 200 200 200 200 403 403 200 200 200",
    ("tokens", "POST"): "401 401 201 201 201 201 201 201 201 403 403 403 403 403 403 403",
    ("user", "GET"): "401 401 200 200 200 200 200 200 200 200 200 403 403 200 200 200",
    ("users", "GET"): "401 401 200 200 200 200 200 200 200 200 200 403 403 200 200 200",
    ("workflow", "GET"): "401 401 404 404 200 200 200 200 404 200 200 403 403 200 200 404",
    ("workflow", "DELETE"): "401 401 404 404 403 204 204 204 404 403 204 403 403 403 204 404",
    ("workflow-archive", "GET"): "401 401 404 404 200 200 200 200 404 200 200 403 403 200 200 404",
    ("workflow-deployments", "GET"): "401 401 404 404 200 200 200 200 404 200 200 403 403 200 200 404",
    ("workflow-deployments", "POST"): "401 401 404 404 403 201 201 201 404 403 201 403 403 403 201 404",
    ("workflow-versions", "GET"): "401 401 404 404 200 200 200 200 404 200 200 403 403 200 200 404",
}
