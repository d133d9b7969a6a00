"use strict";

// Swagger UI spells what is nested in a form or a query one level deep, lists without brackets and
// the rest as JSON; the service reads brackets all the way down. And it fills a form's fields with
// samples that nobody would send; here they begin empty.

const FORM = "application/x-www-form-urlencoded";

function typesOf(schema) {
  return [schema.type ?? [], ...(schema.anyOf ?? []).map(typesOf)].flat(Infinity);
}

// The names of all parameters that are lists or objects, and of those that are lists.
function namesIn(description) {
  const nested = new Set();
  const lists = new Set();
  const note = (name, schema) => {
    const types = typesOf(schema);
    if (types.includes("array")) {
      lists.add(name);
    }
    if (types.includes("array") || types.includes("object")) {
      nested.add(name);
    }
  };
  for (const operation of Object.values(description.paths).flatMap(Object.values)) {
    for (const { name, schema } of operation.parameters) {
      if (schema) {
        note(name, schema);
      }
    }
    const form = operation.requestBody?.content[FORM].schema.properties ?? {};
    Object.entries(form).forEach(([name, schema]) => note(name, schema));
  }
  return { nested, lists };
}

function parsed(text) {
  if (!/^\s*[[{]/.test(text)) {
    return text;
  }
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function* leaves(name, value) {
  if (value === null || typeof value !== "object") {
    yield [name, value === null ? "" : String(value)];
    return;
  }
  for (const [key, inner] of Object.entries(value)) {
    yield* leaves(`${name}[${key}]`, inner);
  }
}

function withBrackets(encoded, { nested, lists }) {
  const counts = new Map();
  const pairs = [...new URLSearchParams(encoded)].flatMap(([given, text]) => {
    const [, head, rest] = given.match(/^([^[]*)(.*)$/s);
    if (!nested.has(head) || rest.endsWith("[]")) {
      return [[given, text]];
    }
    // the only object of a list comes without its place
    const name = lists.has(head) && /^\[\D/.test(rest) ? `${head}[0]${rest}` : given;
    const value = parsed(text);
    if (!lists.has(name) || Array.isArray(value) || text === "") {
      return [...leaves(name, value)];
    }
    const index = counts.get(name) ?? 0;
    counts.set(name, index + 1);
    return [...leaves(`${name}[${index}]`, value)];
  });
  return new URLSearchParams(pairs).toString();
}

function bracketing(names) {
  return (request) => {
    const [address, query] = request.url.split("?");
    if (query) {
      request.url = `${address}?${withBrackets(query, names)}`;
    }
    if (request.headers?.["Content-Type"] === FORM && typeof request.body === "string") {
      request.body = withBrackets(request.body, names);
    }
    return request;
  };
}

const emptyFields = (system) => ({
  afterLoad() {
    const sample = this.fn.getSampleSchema;
    this.fn.getSampleSchema = (schema, contentType, ...rest) => {
      if (contentType !== false) {
        return sample(schema, contentType, ...rest);
      }
      return typesOf(schema.toJS?.() ?? schema)[0] === "array" ? [] : "";
    };
  },
  wrapComponents: {
    ParameterIncludeEmpty: (Original) => (props) =>
      system.React.createElement(Original, {
        ...props,
        isIncludedOptions: { ...props.isIncludedOptions, defaultValue: false },
      }),
  },
});

async function start() {
  const description = await (await fetch("/openapi.json")).json();
  SwaggerUIBundle({
    spec: description,
    dom_id: "#reference",
    deepLinking: true,
    defaultModelsExpandDepth: 0,
    defaultModelExpandDepth: 2,
    displayRequestDuration: true,
    docExpansion: "list",
    layout: "BaseLayout",
    plugins: [emptyFields],
    requestInterceptor: bracketing(namesIn(description)),
    tryItOutEnabled: true,
    validatorUrl: null,
  });
}

start();
