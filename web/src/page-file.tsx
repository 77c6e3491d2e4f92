import { type ComponentType, lazy, Suspense, use } from 'react';

const loads: (() => Promise<void> | undefined)[] = [];

/** The file of a page could not be loaded. `retry` tries once more. */
export class PageFileError extends Error {
  constructor(readonly retry: () => Promise<void> | undefined) {
    super('Roomwatch does not answer. The page opens when it does.');
  }
}

/**
 * Returns a page that is in a file of its own. The router's own lazy component reloads the browser if the file cannot be
 * loaded. With a dead server that would replace the last known state by the browser's error.
 *
 * The type of the page stays open: a page uses the types of the router, and the router has the pages.
 */
export function pageFile<File>(load: () => Promise<File>, name: keyof File) {
  let Found: ComponentType | undefined;
  let failed: PageFileError | undefined;
  let loading: Promise<void> | undefined;
  /** Loads the file, also after a failure. It never rejects: the page throws when it is drawn. */
  const preload = () => {
    if (Found || loading) return loading;
    failed = undefined;
    loading = load().then(
      (file) => {
        Found = file[name] as ComponentType;
        loading = undefined;
      },
      () => {
        failed = new PageFileError(preload);
        loading = undefined;
      },
    );
    return loading;
  };
  // biome-ignore lint/correctness/noComponentHookFactories: called once for each page, outside of any component
  function PageFile() {
    if (failed) throw failed;
    if (!Found) {
      const pending = preload();
      if (pending) use(pending);
    }
    return Found ? <Found /> : null;
  }
  loads.push(preload);
  return Object.assign(PageFile, { preload });
}

/** Returns a dialog or a part of a page that is in a file of its own: most visits never open it. */
export function dialogFile<Props extends object>(load: () => Promise<ComponentType<Props>>) {
  let loaded: Promise<{ default: ComponentType<Props> }> | undefined;
  const preload = () => {
    loaded ??= load().then((component) => ({ default: component }));
    return loaded;
  };
  const Dialog = lazy(preload);
  loads.push(() =>
    preload().then(
      () => undefined,
      () => {
        // Opening the dialog tries once more.
        loaded = undefined;
      },
    ),
  );
  // biome-ignore lint/correctness/noComponentHookFactories: called once for each dialog, outside of any component
  return function DialogFile(props: Props) {
    return (
      <Suspense fallback={null}>
        <Dialog {...props} />
      </Suspense>
    );
  };
}

/** Loads the files of all pages and dialogs, so that each can be opened while the server is down. */
export function loadPageFiles(): void {
  for (const load of loads) void load();
}
