// What a person has chosen, kept in this browser so that no reload, error or log-in loses it.

const NAME = "avatar-playground";
const STORE = "draft";

let opened;

function open() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

async function transaction(mode, work) {
  const database = await open();
  return new Promise((resolve, reject) => {
    const done = database.transaction(STORE, mode);
    const request = work(done.objectStore(STORE));
    done.oncomplete = () => resolve(request.result);
    done.onerror = () => reject(done.error);
  });
}

/** The values of these names that were kept; undefined for the others, and for all where nothing can be kept. */
export async function load(...names) {
  try {
    return await Promise.all(names.map((name) => transaction("readonly", (store) => store.get(name))));
  } catch (error) {
    console.info("Nothing can be kept in this browser:", error.message);
    return names.map(() => undefined);
  }
}

/** Keep a value: text, a list, or a file. */
export async function keep(name, value) {
  try {
    await transaction("readwrite", (store) => store.put(value, name));
  } catch (error) {
    console.info(`${name} can't be kept in this browser:`, error.message);
  }
}
