// Building and updating the page. Text from tasks only ever becomes text nodes and attributes.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element: h("a", {href, class, onclick, dataset: {...}}, child, ...). Strings become text. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  setAttributes(element, attributes);
  append(element, children);
  return element;
}

/** Make an SVG element. */
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  setAttributes(element, attributes);
  append(element, children);
  return element;
}

function setAttributes(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "value" || name === "checked") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child);
  }
}

export const $ = (id) => document.getElementById(id);

/** Replace what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

/** Change text only if it differs, so that nothing flickers and selections stay. */
export function setText(element, text) {
  const wanted = String(text ?? "");
  if (element.textContent !== wanted) element.textContent = wanted;
}

export function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** Bring a parent's children into the given order, moving only what is out of place. */
export function arrange(parent, wanted) {
  let at = parent.firstChild;
  for (const element of wanted) {
    if (element === at) at = at.nextSibling;
    else parent.insertBefore(element, at);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

export function icon(name) {
  return s("svg", { "aria-hidden": "true", class: "icon" }, s("use", { href: `/static/icons.svg#${name}` }));
}

/** Say something for a few seconds. */
export function toast(message) {
  const element = h("div", { class: "toast" }, message);
  $("toasts").append(element);
  setTimeout(() => element.remove(), 4000);
}

/** A button that copies a text. */
export function copyButton(text, what) {
  return h(
    "button",
    {
      type: "button",
      class: "icon-button small",
      title: `Copy ${what}`,
      "aria-label": `Copy ${what}`,
      onclick: async (event) => {
        event.stopPropagation();
        try {
          await navigator.clipboard.writeText(text);
          toast(`Copied ${what}`);
        } catch {
          toast("The browser does not allow copying here; select the text instead.");
        }
      },
    },
    icon("copy"),
  );
}

/** What to show where there is nothing: what it means and what to do next. */
export function empty(title, ...more) {
  return h("div", { class: "empty" }, h("h3", {}, title), ...more.map((m) => (typeof m === "string" ? h("p", {}, m) : m)));
}

/** What to show where something could not be had. */
export function problem(error, retry = null) {
  return h(
    "div",
    { class: "notice bad", role: "alert" },
    h("p", {}, error.message ?? String(error)),
    retry && h("button", { type: "button", class: "button", onclick: retry }, "Try again"),
  );
}
