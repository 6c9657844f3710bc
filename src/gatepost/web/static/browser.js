// Starts the API browser on this service's own description; it asks nobody else for anything.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#browser",
  deepLinking: true,
  docExpansion: "list",
  filter: true,
  validatorUrl: null,
  persistAuthorization: false,
});
