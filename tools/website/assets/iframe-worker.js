// Browsers start no worker from a page that was opened as a file, so the search runs in a hidden frame there.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super()
      this.onmessage = null
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      this.ready = new Promise((resolve, reject) => {
        const start = () => {
          document.body.appendChild(this.frame)
          const inside = this.frame.contentWindow
          // What the worker says goes to this page, as it would from a worker.
          inside.postMessage = data => {
            const event = new MessageEvent("message", { data })
            this.dispatchEvent(event)
            if (this.onmessage) this.onmessage(event)
          }
          const script = inside.document.createElement("script")
          script.onload = () => resolve(inside)
          script.onerror = reject
          script.src = new URL(address, document.baseURI).href
          inside.document.body.appendChild(script)
        }
        if (document.body) start()
        else document.addEventListener("DOMContentLoaded", start)
      })
    }

    postMessage(data) {
      this.ready.then(inside => inside.dispatchEvent(new inside.MessageEvent("message", { data })))
    }

    terminate() {
      this.frame.remove()
    }
  }
}
