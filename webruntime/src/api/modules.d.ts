/** Vite builds a worker imported so, and gives its address relative to the module's. */
declare module "*?worker&url" {
  const url: string;
  export default url;
}
