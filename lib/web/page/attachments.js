// Files for the next message: chosen, pasted or dropped; shown before sending; sent as data URLs.

import { wordsError } from "./api.js";
import { el } from "./dom.js";

const MIB = 1024 * 1024;
const MAX_FILES = 8;
const MAX_FILE_MIB = 20;
/** Base64 takes a third more. The gateway's own limit of a body is 32 MiB; some hosts take less. */

export class Attachments {
  constructor(onError) {
    this.files = [];
    this.visit = 0;
    this.list = el("ul", { class: "files", tLabel: "attached_files" });
    this.list.hidden = true;
    this.chooser = el("input", { type: "file", multiple: true, hidden: true, tabindex: "-1" });
    this.chooser.addEventListener("change", () => {
      this.add([...this.chooser.files]);
      this.chooser.value = "";
    });
    this.onError = onError;
  }

  choose() {
    this.chooser.click();
  }

  async add(files) {
    const { visit } = this;
    for (const file of files) {
      const [{ value, reason }] = await Promise.allSettled([read(file, this.files.length)]);
      if (visit !== this.visit) return;
      if (value) this.files.push(value);
      else this.onError(reason);
    }
    this.show();
  }

  /** Drop all files, those too that are still being read. */
  forget() {
    this.visit++;
    this.take();
  }

  take() {
    const taken = this.files;
    this.files = [];
    this.show();
    return taken;
  }

  show() {
    this.list.replaceChildren(...this.files.map((file) => this.item(file)));
    this.list.hidden = this.files.length === 0;
  }

  item(file) {
    const drop = el("button", { type: "button", class: "drop", tLabel: "remove_file", tValues: { name: file.name } }, "×");
    drop.addEventListener("click", () => {
      this.files = this.files.filter((other) => other !== file);
      this.show();
    });
    return el("li", {}, fileView(file), drop);
  }
}

async function read(file, count) {
  if (count >= MAX_FILES) throw wordsError("files_too_many", { limit: MAX_FILES });
  if (file.size > MAX_FILE_MIB * MIB) throw wordsError("file_too_large", { name: file.name, limit: MAX_FILE_MIB });
  const reader = new FileReader();
  const data = await new Promise((resolve, reject) => {
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(wordsError("file_unreadable", { name: file.name }));
    reader.readAsDataURL(file);
  });
  return { name: file.name || "file", data, isImage: /^image\/(?:png|jpe?g|gif|webp|bmp)$/.test(file.type) };
}

export function fileView(file) {
  return file.isImage
    ? el("img", { src: file.data, alt: file.name, class: "thumb" })
    : el("span", { class: "file" }, "📄 ", file.name);
}

/** One file as a part of a message, in OpenAI's form. */
export function partOf(file) {
  return file.isImage
    ? { type: "image_url", image_url: { url: file.data } }
    : { type: "file", file: { filename: file.name, file_data: file.data } };
}
