// The picture: dropped, pasted, chosen or a sample, always as a data URL.

import { samplePicture } from "./api.js";
import { $, element } from "./format.js";

const TYPES = ["image/png", "image/jpeg", "image/webp"];

// `taken(dataUrl, questions)` gets each picture; `refused(words)` what is none.
export function takePictures(taken, refused) {
  const take = async (file) => {
    if (!file) return;
    if (!TYPES.includes(file.type)) refused("That is no picture this page can take: png, jpeg or webp, please.");
    else taken(await dataUrl(file), []);
  };
  $("choose").addEventListener("click", () => $("file").click());
  $("other").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => {
    take($("file").files[0]);
    $("file").value = "";
  });
  document.addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
    if (file) {
      event.preventDefault();
      take(file);
    }
  });
  document.addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dragging");
  });
  document.addEventListener("drop", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    document.body.classList.remove("dragging");
    take(event.dataTransfer.files[0]);
  });
}

export function offerSamples(samples, taken, failed) {
  $("samples-box").hidden = !samples.length;
  $("samples").replaceChildren(...samples.map((sample, index) => {
    const button = element("button", { type: "button", "aria-label": `Sample picture ${index + 1}` }, [
      element("img", { src: `playground/${sample.picture}`, alt: "", draggable: false }),
    ]);
    button.addEventListener("click", async () => {
      try {
        taken(await dataUrl(await samplePicture(sample.picture)), sample.questions);
      } catch (error) {
        failed(error);
      }
    });
    return element("li", {}, [button]);
  }));
}

// Shows the picture in its own proportions. Where the browser cannot read it, it returns false, and
// what was shown before stays.
export async function show(url) {
  const image = new Image();
  image.src = url;
  try {
    await image.decode();
  } catch {
    return false;
  }
  $("picture").src = url;
  $("frame").style.setProperty("--ratio", image.naturalWidth / image.naturalHeight);
  return true;
}

function dataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(blob);
  });
}
