class EntriesController < ActionController::Base
  layout "application"

  def index
    session[:visits] = session.fetch(:visits, 0) + 1
    @entries = Entry.order(:id)
  end

  def health
    Entry.connection.select_value("select 1")
    render plain: "ok\n"
  end
end
