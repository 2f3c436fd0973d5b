/** Vite gives a style sheet imported so as its text. */
declare module "*.css?inline" {
  const css: string;
  export default css;
}
