// Copies the text of the element that data-copy names, and says so on the button.
document.querySelectorAll("[data-copy]").forEach((button) => {
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent.trim());
      button.textContent = "Copied";
    } catch {
      // Without HTTPS a page may not write to the clipboard: select the text for Ctrl-C instead.
      getSelection().selectAllChildren(source);
      button.textContent = "Press Ctrl-C";
    }
  });
});
