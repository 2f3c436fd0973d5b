/** Vite imports a style sheet of this form as text. */
declare module "*.css?inline" {
  const css: string;
  export default css;
}
