// References to saved outcomes, and whether an outcome is what a step expects: the words of
// scenario.py for the client in this language.

const REFERENCE = /\$\{(\w+)(?:@([\w-]+)|((?:\.\w+)*))\}/;
const REFERENCES = new RegExp(REFERENCE, "g");
const WHOLE = new RegExp(`^${REFERENCE.source}$`);

/** Returns a value with its references replaced; throws a RangeError for one to nothing. */
export function resolved(value, saved) {
  if (Array.isArray(value)) {
    return value.map((part) => resolved(part, saved));
  }
  if (isObject(value)) {
    return mapped(value, (part) => resolved(part, saved));
  }
  if (typeof value !== "string") {
    return value;
  }
  const whole = WHOLE.exec(value);
  if (whole) {
    return referred(whole, saved);
  }
  return value.replaceAll(REFERENCES, (...found) => String(referred(found, saved)));
}

function referred([text, name, header, path], saved) {
  if (!Object.hasOwn(saved, name)) {
    throw new RangeError(`nothing is saved as ${name}`);
  }
  let value = header ? saved[name].headers[header] : saved[name].body;
  for (const part of (path ?? "").split(".").slice(1)) {
    value = value?.[part];
  }
  if (value === undefined) {
    throw new RangeError(`${text} leads nowhere`);
  }
  return value;
}

/** Returns what is not as it must be; throws a RangeError for a reference to nothing. */
export function brokenPromises(expected, outcome, saved) {
  if (outcome.error !== undefined && expected.error === undefined) {
    return [`an error came: ${shown(outcome.error)}`];
  }
  const faults = [];
  if (expected.error !== undefined) {
    const actual = outcome.error ?? "a success";
    faults.push(...differences(resolved(expected.error, saved), actual, "error"));
  }
  faults.push(...differences(resolved(expected.headers ?? {}, saved), outcome.headers, "headers"));
  faults.push(...differences(resolved(expected.body ?? {}, saved), outcome.body ?? {}, "body"));
  faults.push(...unlikeTheWhole(expected, outcome.body, saved));
  return [...faults, ...unlikeTheList(expected, listOf(outcome.body?.data), saved)];
}

function unlikeTheWhole(expected, body, saved) {
  const faults = [];
  if (expected.same_as !== undefined) {
    const wanted = resolved(expected.same_as, saved);
    if (shown(wanted) !== shown(body)) {
      faults.push(`body: ${shown(body)} is not the same as ${shown(wanted)}`);
    }
  }
  if (expected.keys !== undefined) {
    faults.push(...differences(expected.keys, Object.keys(body ?? {}), "keys"));
  }
  return faults;
}

function unlikeTheList(expected, data, saved) {
  const faults = [];
  const ids = idsOf(data);
  if (expected.count !== undefined && data.length !== expected.count) {
    faults.push(`count: ${data.length} instead of ${expected.count}`);
  }
  if (expected.ids !== undefined) {
    faults.push(...differences(idsOf(resolved(expected.ids, saved)), ids, "ids"));
  }
  if (expected.unordered_ids !== undefined) {
    const wanted = idsOf(resolved(expected.unordered_ids, saved));
    faults.push(...differences(wanted.toSorted(), ids.toSorted(), "unordered_ids"));
  }
  if (expected.pages !== undefined) {
    faults.push(...differences(resolved(expected.pages, saved).flat(), data, "pages"));
  }
  if (expected.walked_back !== undefined) {
    const wanted = resolved(expected.walked_back, saved).slice(0, -1).toReversed();
    faults.push(...differences(wanted, data, "walked_back"));
  }
  return faults;
}

function differences(expected, actual, place) {
  if (isObject(expected) && "$matches" in expected) {
    const pattern = new RegExp(`^(?:${expected.$matches})$`);
    const matches = typeof actual === "string" && pattern.test(actual);
    return matches ? [] : [`${place}: ${shown(actual)} does not match ${expected.$matches}`];
  }
  if (isObject(expected) && "$exactly" in expected) {
    const same = isEqual(expected.$exactly, actual);
    return same ? [] : [`${place}: ${shown(actual)} instead of ${shown(expected)}`];
  }
  if (isObject(expected) && isObject(actual)) {
    return Object.entries(expected).flatMap(([name, part]) =>
      differencesUnder(name, part, actual, `${place}.${name}`),
    );
  }
  if (Array.isArray(expected) && Array.isArray(actual) && expected.length === actual.length) {
    return expected.flatMap((part, index) => differences(part, actual[index], `${place}.${index}`));
  }
  const same = isEqual(expected, actual);
  return same ? [] : [`${place}: ${shown(actual)} instead of ${shown(expected)}`];
}

function differencesUnder(name, expected, actual, place) {
  const isThere = Object.hasOwn(actual, name);
  if (isObject(expected) && expected.$absent === true) {
    return isThere ? [`${place}: is there`] : [];
  }
  return isThere ? differences(expected, actual[name], place) : [`${place}: is missing`];
}

function listOf(value) {
  return Array.isArray(value) ? value : [];
}

function idsOf(items) {
  return items.map((item) => item?.id ?? item);
}

function isEqual(left, right) {
  return shown(sorted(left)) === shown(sorted(right));
}

function sorted(value) {
  if (Array.isArray(value)) {
    return value.map(sorted);
  }
  if (!isObject(value)) {
    return value;
  }
  const entries = Object.entries(value).toSorted(([left], [right]) => (left < right ? -1 : 1));
  return Object.fromEntries(entries.map(([name, part]) => [name, sorted(part)]));
}

function mapped(object, change) {
  return Object.fromEntries(Object.entries(object).map(([name, part]) => [name, change(part)]));
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function shown(value) {
  return JSON.stringify(value);
}
