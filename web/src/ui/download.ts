/** Saves bytes as a file of this name. */
export function save(name: string, bytes: Blob) {
  const address = URL.createObjectURL(bytes);
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  // The browser reads the address after this task.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** Saves a text as a file. */
export const saveText = (name: string, type: string, text: string) => save(name, new Blob([text], { type }));
