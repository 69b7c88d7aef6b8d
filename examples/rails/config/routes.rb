Rails.application.routes.draw do
  root "entries#index"
  get "healthz", to: "entries#health"
end
