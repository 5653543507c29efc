// What can be copied from the page.

/** Wire every button that names, in data-copies, the field whose text it copies. */
export function wireCopying() {
  const said = document.getElementById("copied");
  for (const button of document.querySelectorAll("[data-copies]")) {
    const field = document.getElementById(button.dataset.copies);
    field.addEventListener("focus", () => field.select());
    button.addEventListener("click", async () => {
      // A screen reader speaks when the text changes, also from "Copied" to "Copied".
      said.textContent = "";
      field.select();
      try {
        // Only over HTTPS and on localhost.
        await navigator.clipboard.writeText(field.value);
        said.textContent = "Copied.";
      } catch {
        said.textContent = "Press Ctrl+C or ⌘C to copy.";
      }
    });
  }
}
