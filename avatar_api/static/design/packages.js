// Pages of packages (Unfold, django-rq, Django REST framework) lack some of what readers of a screen need.
// This adds it: landmarks, names of fields and buttons; and it hides icons, whose text is the name of a glyph.

function name(element, text) {
  if (!element || !text?.trim() || element.getAttribute("aria-label")) return;
  element.setAttribute("aria-label", text.trim().replace(/\s*[*:]$/, ""));
  // A link that leads nowhere is announced as a button.
  if (element.tagName === "A" && !element.href) element.setAttribute("role", "button");
}

function addLandmarks() {
  const mains = document.querySelectorAll("main, [role=main]");
  const main = document.querySelector("main") ?? document.querySelector("#main, #content") ?? document.querySelector("#page");
  for (const other of mains) if (other !== main) other.removeAttribute("role");
  if (main && main.tagName !== "MAIN") main.setAttribute("role", "main");
  name(document.querySelector("#nav-sidebar-inner"), "Sections");
  document.querySelectorAll(".simplebar-content-wrapper").forEach((region, index) => {
    region.setAttribute("aria-label", `Scrollable content ${index + 1}`);
  });
  document.querySelectorAll(".breadcrumb").forEach((list) => main && !main.contains(list) && main.prepend(list));
}

function nameFields() {
  for (const group of document.querySelectorAll(".form-group")) {
    const label = group.querySelector("label");
    const field = group.querySelector("input, select, textarea");
    if (label && field && !field.labels.length) {
      field.id ||= `field-${field.name}`;
      label.htmlFor = field.id;
    }
  }
  for (const field of document.querySelectorAll("select, input:not([type=hidden]), textarea")) {
    if (!field.labels?.length) name(field, field.title || field.placeholder || (field.name || field.id).replaceAll(/[_-]/g, " "));
  }
  // What Select2 puts in place of a select names itself after what is chosen, which may be nothing.
  for (const box of document.querySelectorAll(".select2-selection")) {
    const select = box.closest(".select2-container")?.parentElement.querySelector("select");
    const text = select?.labels?.[0]?.textContent ?? select?.getAttribute("aria-label");
    if (!text) continue;
    box.removeAttribute("aria-labelledby");
    name(box, text);
    name(box.querySelector("[role=textbox]"), text);
  }
}

function nameButtons() {
  for (const button of document.querySelectorAll("button, a[role=button]")) {
    if (!button.textContent.trim()) name(button, button.title || button.dataset.originalTitle);
  }
}

function hideIcons() {
  for (const icon of document.querySelectorAll(".material-symbols-outlined, .caret")) {
    const outer = icon.closest("a, button");
    icon.setAttribute("aria-hidden", "true");
    if (outer && !outer.textContent.replace(icon.textContent, "").trim()) name(outer, outer.title || icon.textContent.replaceAll("_", " "));
  }
}

function improve() {
  document.documentElement.lang ||= "en";
  addLandmarks();
  nameFields();
  nameButtons();
  hideIcons();
}

document.addEventListener("DOMContentLoaded", () => {
  // django-rq's lists call a plug-in that Django's admin no longer has; Django's own script does its work.
  const { jQuery } = window.django ?? {};
  if (jQuery) jQuery.fn.actions ??= function actions() { return this; };
  improve();
});
// Select2 takes selects over when the page has been loaded.
window.addEventListener("load", () => setTimeout(improve));
